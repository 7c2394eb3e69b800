"""Limit the fetches from one server, so that pictures for which it does not answer keep no other picture waiting.

queue   waits for a slot; refused if the queue is full, or after a time
slot    sends a request, reads the response, prepares the file
slow    has waited SLOW_AFTER_S for a response to begin, or for a small file, and has given its slot back; it takes one
        again, before the queue, when the wait ends; refused if there are too many such fetches and others want a slot

The number of slots bounds the large files in memory. A slow fetch holds a connection, and at most a small file.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.errors import OriginBusy

# Assumed: most origins begin their response sooner. 200 pictures that hang then keep another one waiting for 0.75 s.
SLOW_AFTER_S = 0.25

OnSlow = Callable[[], None]
"""Called when a fetch has become slow, so that whatever else it holds can be given back, too."""


def ignore() -> None:
    """Do nothing when a fetch becomes slow."""


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """How many fetches from one server there may be at a time."""

    slots: int
    slow: int
    """0: a fetch keeps its slot."""
    queued: int
    wait_s: float
    """The longest wait for a slot."""
    slow_after_s: float = SLOW_AFTER_S


class FetchSlots:
    """The slots of one server."""

    def __init__(self, limits: SlotLimits) -> None:
        self.limits = limits
        self._free = limits.slots
        self._slow = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._resuming: deque[asyncio.Future[None]] = deque()

    async def take(self, on_slow: OnSlow = ignore) -> Slot:
        """Wait for a slot, which calls `on_slow` when it is given back early. Raises OriginBusy."""
        if not self._free and len(self._queue) >= self.limits.queued:
            raise OriginBusy("too many fetches wait for a slot")
        await self._wait_in(self._queue)
        return Slot(self, on_slow)

    async def resume(self) -> None:
        """Wait for a slot for a slow fetch, before the fetches of the queue. Raises OriginBusy."""
        await self._wait_in(self._resuming)

    def give_back(self) -> None:
        """Pass a slot to the fetch that waits first, or free it."""
        for line in (self._resuming, self._queue):
            while line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1

    def begin_slow(self) -> bool:
        """Count one more slow fetch and give its slot back, or return False if there are too many of them already."""
        if self._slow >= self.limits.slow:
            return False
        self._slow += 1
        self.give_back()
        return True

    def end_slow(self) -> None:
        """Count one slow fetch less."""
        self._slow -= 1

    @property
    def is_awaited(self) -> bool:
        """Whether a fetch waits for a slot."""
        return bool(self._queue or self._resuming)

    async def _wait_in(self, line: deque[asyncio.Future[None]]) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            async with asyncio.timeout(self.limits.wait_s):
                await turn
        except TimeoutError as error:
            self._leave(line, turn)
            raise OriginBusy(f"no slot for a request became free within {self.limits.wait_s:g} s") from error
        except asyncio.CancelledError:
            self._leave(line, turn)
            raise

    def _leave(self, line: deque[asyncio.Future[None]], turn: asyncio.Future[None]) -> None:
        if turn in line:
            line.remove(turn)
        elif not turn.cancelled():  # the slot came just as the wait ended
            self.give_back()


class Slot:
    """The slot of one fetch."""

    def __init__(self, slots: FetchSlots, on_slow: OnSlow) -> None:
        self._slots = slots
        self._on_slow = on_slow
        self._timer: asyncio.TimerHandle | None = None
        self.is_slow = False

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Give the slot back if the block, which waits for the server, takes long. Raises OriginBusy."""
        refusal = asyncio.timeout(None)
        try:
            async with refusal:
                self._watch(refusal)
                yield
        except TimeoutError as error:
            if refusal.expired():
                raise OriginBusy("too many fetches wait for the server's response") from error
            raise
        finally:
            self._stop_watching()

    async def resume(self) -> None:
        """Take a slot again, if this one was given back. Raises OriginBusy."""
        if self.is_slow:
            await self._slots.resume()
            self._slots.end_slow()
            self.is_slow = False

    def end(self) -> None:
        """Give the slot back after the fetch."""
        if self.is_slow:
            self._slots.end_slow()
        else:
            self._slots.give_back()

    def _watch(self, refusal: asyncio.Timeout) -> None:
        limits = self._slots.limits
        if limits.slow:
            self._timer = asyncio.get_running_loop().call_later(limits.slow_after_s, self._become_slow, refusal)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _become_slow(self, refusal: asyncio.Timeout) -> None:
        if self._slots.begin_slow():
            self.is_slow = True
            self._on_slow()
        elif self._slots.is_awaited:
            refusal.reschedule(asyncio.get_running_loop().time())
        else:  # it keeps nobody waiting yet
            self._watch(refusal)
