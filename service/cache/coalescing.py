"""One flight per key for any number of simultaneous callers. Knows nothing of pictures.

The flight belongs to nobody: a caller that goes away does not end it. Whoever starts a flight must look again inside it
for what another flight may have just stored, in this order of events: A misses, B misses, A's flight stores and ends,
B finds no flight and starts one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from service.errors import QueueFull

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Landed(Generic[Result]):
    """What a flight brought, and whether this caller only waited for it."""

    value: Result
    collapsed: bool


class Coalescing(Generic[Result]):
    """The flights that are under way."""

    def __init__(self, waiters: int) -> None:
        self._flights: dict[Hashable, asyncio.Task[Result]] = {}
        self._free = waiters
        """So many more may wait for flights of others."""

    async def run(self, key: Hashable, fly: Callable[[], Coroutine[Any, Any, Result]]) -> Landed[Result]:
        """Join the flight for this key, or start one. Its error is every caller's error. Raises QueueFull."""
        collapsed = key in self._flights
        if collapsed and not self._free:
            raise QueueFull("too many wait for flights")
        self.begin(key, fly)
        self._free -= collapsed
        try:
            # shield: the caller may be cancelled, the flight goes on for the others and for the store.
            return Landed(value=await asyncio.shield(self._flights[key]), collapsed=collapsed)
        finally:
            self._free += collapsed

    def begin(self, key: Hashable, fly: Callable[[], Coroutine[Any, Any, Result]]) -> None:
        """Start a flight for this key unless there is one, and wait for nothing."""
        if key not in self._flights:
            flight = self._flights[key] = asyncio.create_task(fly())
            flight.add_done_callback(lambda done: self._land(key, done))

    def __len__(self) -> int:
        return len(self._flights)

    async def close(self, *, within_s: float) -> None:
        """Let flights land for so long, then end them; their callers are cancelled with them."""
        flights = list(self._flights.values())
        if flights and within_s:
            await asyncio.wait(flights, timeout=within_s)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _land(self, key: Hashable, flight: asyncio.Task[Result]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even if every caller has gone
