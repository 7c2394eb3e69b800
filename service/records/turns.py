"""The turns of the fills of one process: so many at a time take a lease and fetch. Knows nothing of pictures.

The others wait in the order in which they came, before anything is spent on them. A fill that would have to wait for
too long is refused at once. So are the fills at the end of the queue when turns take longer than before.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.errors import QueueFull

TOGETHER = 64
"""Minimum number of turns (assumed): fills that wait for one of fewer fetches hold nothing but a lease."""
LEARNING = 1 / 16
"""Assumed: the weight of the latest turn in the moving average, which follows a crowd within a quarter of its turns."""


class Turns:
    """The turns of one process."""

    def __init__(self, together: int, *, wait_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`wait_s` is the longest expected wait for a turn; 0 means no limit."""
        self._together = self._free = together
        self._wait_s = wait_s
        self._clock = clock
        self._turn_s = 0.0
        """How long a turn takes, as a moving average; 0 before the end of the first one."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._waiting_again: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Return how many fills wait."""
        return len(self._waiting) + len(self._waiting_again)

    @asynccontextmanager
    async def turn(self, *, again: bool = False) -> AsyncIterator[Turn]:
        """Wait for a turn, and hold it until the block ends or `Turn.end`. Raises QueueFull.

        A fill that comes `again`, after another process's fill of its picture, goes first and is not refused.
        """
        if self._free:
            self._free -= 1
        else:
            await self._wait(again=again)
        turn = Turn(self._end, began_s=self._clock())
        try:
            yield turn
        finally:
            turn.end()

    async def _wait(self, *, again: bool) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting_again if again else self._waiting
        queue.append(place)
        self._refuse_the_end()
        try:
            await place
        except asyncio.CancelledError:
            if place in queue:
                queue.remove(place)
            elif not place.cancelled() and place.exception() is None:  # cancelled after its turn had come
                self._pass_on()
            raise

    def _end(self, began_s: float) -> None:
        seconds = self._clock() - began_s
        self._turn_s += (LEARNING if self._turn_s else 1) * (seconds - self._turn_s)
        self._pass_on()
        self._refuse_the_end()

    def _pass_on(self) -> None:
        while len(self):
            place = (self._waiting_again or self._waiting).popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def _refuse_the_end(self) -> None:
        if not self._wait_s:
            return
        while self._waiting and (wait_s := len(self) * self._turn_s / self._together) > self._wait_s:
            place = self._waiting.pop()
            if not place.done():
                place.set_exception(QueueFull(f"the expected wait for a fill is {wait_s:.1f} s"))


class Turn:
    """The turn of one fill."""

    def __init__(self, end: Callable[[float], None], *, began_s: float) -> None:
        self._end = end
        self._began_s = began_s
        self._has_ended = False

    def end(self) -> None:
        """Let the next fill begin. Later calls do nothing."""
        if not self._has_ended:
            self._has_ended = True
            self._end(self._began_s)
