"""Run one task ("flight") per key for any number of simultaneous callers. Knows nothing of pictures.

A flight continues when its callers are cancelled. It must look into the store again when it starts, because of this
order of events: callers A and B both miss, A's flight stores the result and ends, B finds no flight and starts one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from service.errors import QueueFull

Result = TypeVar("Result")
Show = Callable[[Result], None]
"""A flight calls this to give the waiting callers a preliminary result, or later ones a better one, and continues."""
Fly = Callable[[Show[Result]], Coroutine[Any, Any, Result]]


@dataclass(frozen=True, slots=True)
class Landed(Generic[Result]):
    """The result of a flight for one caller, and whether this caller started the flight or joined it."""

    value: Result
    collapsed: bool
    """Whether another caller had started the flight."""
    late: bool = False
    """Whether the flight had shown a preliminary result before this caller joined."""
    flight: asyncio.Task[Result] | None = field(default=None, compare=False, repr=False)
    """The flight's task, which still runs if `value` is a preliminary result."""


@dataclass(frozen=True, slots=True)
class _Flight(Generic[Result]):
    task: asyncio.Task[Result]
    shown: asyncio.Future[Result]
    """Done when the task has ended or has shown a preliminary result."""


class Coalescing(Generic[Result]):
    """The flights of one kind (fills or decodes, for example) in this process."""

    def __init__(self, waiters: int) -> None:
        """Accept at most `waiters` callers at a time that wait for flights which other callers started."""
        self._flights: dict[Hashable, _Flight[Result]] = {}
        """The flights that callers can join."""
        self._under_way: set[asyncio.Task[Result]] = set()
        """The tasks of all flights that run, including flights that callers can no longer join after `forget`."""
        self._free = waiters

    async def run(self, key: Hashable, fly: Fly[Result], *, to_the_end: bool = True) -> Landed[Result]:
        """Join the flight for this key, or start one. Raises the flight's error, or QueueFull.

        With `to_the_end` off, the caller returns as soon as the flight shows a preliminary result.
        """
        collapsed = key in self._flights
        if collapsed and not self._free:
            raise QueueFull("too many requests wait for flights that other requests started; try again later")
        self.begin(key, fly)
        self._free -= collapsed
        try:
            # shield: the caller may be cancelled, but the flight continues for the other callers and for the store.
            flight = self._flights[key]
            late = flight.shown.done() and not to_the_end
            value = await asyncio.shield(flight.task if to_the_end else flight.shown)
            return Landed(value, collapsed=collapsed, late=late, flight=flight.task)
        finally:
            self._free += collapsed

    def begin(self, key: Hashable, fly: Fly[Result]) -> None:
        """Start a flight for this key in the background, unless there is one."""
        if key in self._flights:
            return
        shown: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def show(result: Result) -> None:
            if shown.done():
                self._show_later(key, flight.task, result)
            else:
                shown.set_result(result)

        flight = _Flight(asyncio.create_task(fly(show)), shown)
        self._flights[key] = flight
        self._under_way.add(flight.task)
        flight.task.add_done_callback(lambda _: self._land(key, flight))

    def forget(self, key: Hashable, *, only: Landed[Result] | None = None) -> None:
        """Let the next caller for this key start a new flight. The present flight continues.

        With `only`, do so only if the present flight is the one that returned `only`.
        """
        flight = self._flights.get(key)
        if flight is not None and (only is None or flight.task is only.flight):
            del self._flights[key]

    def show_instead(self, key: Hashable, result: Result, *, only: Landed[Result]) -> None:
        """Replace the preliminary result of the flight that returned `only`, for callers that join it from now on."""
        if only.flight is not None:
            self._show_later(key, only.flight, result)

    def _show_later(self, key: Hashable, task: asyncio.Task[Result], result: Result) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            shown: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            shown.set_result(result)
            self._flights[key] = replace(flight, shown=shown)

    def __contains__(self, key: Hashable) -> bool:
        """Return whether there is a flight to join for this key."""
        return key in self._flights

    def __len__(self) -> int:
        return len(self._under_way)

    async def close(self, *, within_s: float) -> None:
        """Wait up to `within_s` seconds for flights to end, then cancel them and thereby their callers."""
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
            shown.exception()  # mark it as read: else asyncio logs "exception was never retrieved" if no caller is left
