"""One flight per key for any number of simultaneous callers. Knows nothing of pictures.

A flight belongs to no caller: it goes on when the callers have gone. A caller that starts a flight must look again
inside it for what another flight may have just stored, in this order of events: A misses, B misses, A's flight stores
and ends, B finds no flight and starts one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from service.errors import QueueFull

Result = TypeVar("Result")
Show = Callable[[Result], None]
"""A flight calls it with a result that is good enough for the callers that wait, and goes on."""
Fly = Callable[[Show[Result]], Coroutine[Any, Any, Result]]


@dataclass(frozen=True, slots=True)
class Landed(Generic[Result]):
    """A flight's result, and whether this caller joined a flight of another one."""

    value: Result
    collapsed: bool
    late: bool = False
    """Whether the flight had shown its result before this caller came."""
    flight: asyncio.Task[Result] | None = field(default=None, compare=False, repr=False)
    """The flight, which may go on."""


@dataclass(frozen=True, slots=True)
class _Flight(Generic[Result]):
    task: asyncio.Task[Result]
    shown: asyncio.Future[Result]
    """Done when the task is, or when it has shown a result."""


class Coalescing(Generic[Result]):
    """The flights of one kind in this process."""

    def __init__(self, waiters: int) -> None:
        """`waiters` is how many callers may wait for flights of others at one time."""
        self._flights: dict[Hashable, _Flight[Result]] = {}
        """The flights that may be joined."""
        self._under_way: set[asyncio.Task[Result]] = set()
        """All flights."""
        self._free = waiters

    async def run(self, key: Hashable, fly: Fly[Result], *, to_the_end: bool = True) -> Landed[Result]:
        """Join the flight for this key, or start one. Raises the flight's error, or QueueFull.

        A caller that need not wait `to_the_end` goes on with the result that the flight shows.
        """
        collapsed = key in self._flights
        if collapsed and not self._free:
            raise QueueFull("too many wait for flights")
        self.begin(key, fly)
        self._free -= collapsed
        try:
            # shield: the caller may be cancelled, the flight goes on for the others and for the store.
            flight = self._flights[key]
            late = flight.shown.done() and not to_the_end
            value = await asyncio.shield(flight.task if to_the_end else flight.shown)
            return Landed(value, collapsed=collapsed, late=late, flight=flight.task)
        finally:
            self._free += collapsed

    def begin(self, key: Hashable, fly: Fly[Result]) -> None:
        """Start a flight for this key unless there is one, and wait for nothing."""
        if key in self._flights:
            return
        shown: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def show(result: Result) -> None:
            if not shown.done():
                shown.set_result(result)

        flight = _Flight(asyncio.create_task(fly(show)), shown)
        self._flights[key] = flight
        self._under_way.add(flight.task)
        flight.task.add_done_callback(lambda _: self._land(key, flight))

    def forget(self, key: Hashable, *, only: Landed[Result] | None = None) -> None:
        """Let the next caller start another flight than this, which goes on for the callers that wait for it."""
        flight = self._flights.get(key)
        if flight is not None and (only is None or flight.task is only.flight):
            del self._flights[key]

    def show_instead(self, key: Hashable, result: Result, *, only: Landed[Result]) -> None:
        """Show callers that join this flight from now on another result than it has shown."""
        flight = self._flights.get(key)
        if flight is not None and flight.task is only.flight:
            shown: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            shown.set_result(result)
            self._flights[key] = replace(flight, shown=shown)

    def __contains__(self, key: Hashable) -> bool:
        """Return whether a flight for this key could be joined."""
        return key in self._flights

    def __len__(self) -> int:
        return len(self._under_way)

    async def close(self, *, within_s: float) -> None:
        """Let flights land for so long, then cancel them; their callers are cancelled with them."""
        flights = list(self._under_way)
        if flights and within_s:
            await asyncio.wait(flights, timeout=within_s)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _land(self, key: Hashable, flight: _Flight[Result]) -> None:
        self._under_way.discard(flight.task)
        joinable = self._flights.get(key)
        if joinable is not None and joinable.task is flight.task:
            del self._flights[key]
        task, shown = flight.task, flight.shown
        if task.cancelled():
            shown.cancel()
        elif (error := task.exception()) is None:
            if not shown.done():
                shown.set_result(task.result())
        elif not shown.done():
            shown.set_exception(error)
            shown.exception()  # marks it as retrieved, even if every caller has gone
