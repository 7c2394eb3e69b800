"""One flight per key for any number of simultaneous callers. Knows nothing of pictures.

The flight belongs to nobody: a caller that goes away does not end it. Whoever starts a flight must look again inside it
for what another flight may have just stored, in this order of events: A misses, B misses, A's flight stores and ends,
B finds no flight and starts one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from service.errors import QueueFull

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Landed(Generic[Result]):
    """What a flight brought, and whether this caller only waited for it."""

    value: Result
    collapsed: bool
    flight: asyncio.Task[Result] | None = field(default=None, compare=False, repr=False)
    """It may go on."""


@dataclass(frozen=True, slots=True)
class _Flight(Generic[Result]):
    task: asyncio.Task[Result]
    shown: asyncio.Future[Result]
    """Done when the task is, or when it has shown what it has so far."""


class Coalescing(Generic[Result]):
    """The flights that are under way."""

    def __init__(self, waiters: int) -> None:
        self._flights: dict[Hashable, _Flight[Result]] = {}
        """Those that may be joined,"""
        self._under_way: dict[asyncio.Task[Result], _Flight[Result]] = {}
        """and all."""
        self._free = waiters
        """So many more may wait for flights of others."""

    async def run(
        self, key: Hashable, fly: Callable[[], Coroutine[Any, Any, Result]], *, to_the_end: bool = True
    ) -> Landed[Result]:
        """Join the flight for this key, or start one. Its error is every caller's error. Raises QueueFull.

        Who need not wait to the end goes on with what the flight shows.
        """
        collapsed = key in self._flights
        if collapsed and not self._free:
            raise QueueFull("too many wait for flights")
        self.begin(key, fly)
        self._free -= collapsed
        try:
            # shield: the caller may be cancelled, the flight goes on for the others and for the store.
            flight = self._flights[key]
            value = await asyncio.shield(flight.task if to_the_end else flight.shown)
            return Landed(value, collapsed=collapsed, flight=flight.task)
        finally:
            self._free += collapsed

    def begin(self, key: Hashable, fly: Callable[[], Coroutine[Any, Any, Result]]) -> None:
        """Start a flight for this key unless there is one, and wait for nothing."""
        if key not in self._flights:
            flight = _Flight(asyncio.create_task(fly()), asyncio.get_running_loop().create_future())
            self._flights[key] = self._under_way[flight.task] = flight
            flight.task.add_done_callback(lambda _: self._land(key, flight))

    def show(self, result: Result) -> None:
        """Called by a flight that goes on: this is good enough for those who wait, and for those who come."""
        task = asyncio.current_task()
        assert task is not None, "a flight runs in a task"
        shown = self._under_way[task].shown
        if not shown.done():
            shown.set_result(result)

    def forget(self, key: Hashable, *, only: Landed[Result] | None = None) -> None:
        """The next caller starts another flight than this, which goes on for those who wait."""
        flight = self._flights.get(key)
        if flight is not None and (only is None or flight.task is only.flight):
            del self._flights[key]

    def __len__(self) -> int:
        return len(self._under_way)

    async def close(self, *, within_s: float) -> None:
        """Let flights land for so long, then end them; their callers are cancelled with them."""
        flights = list(self._under_way)
        if flights and within_s:
            await asyncio.wait(flights, timeout=within_s)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _land(self, key: Hashable, flight: _Flight[Result]) -> None:
        del self._under_way[flight.task]
        if self._flights.get(key) is flight:
            del self._flights[key]
        task, shown = flight.task, flight.shown
        if task.cancelled():
            shown.cancel()
        elif (error := task.exception()) is None:
            if not shown.done():
                shown.set_result(task.result())
        elif not shown.done():
            shown.set_exception(error)
            shown.exception()  # seen, even if every caller has gone
