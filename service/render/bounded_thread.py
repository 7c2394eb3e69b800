"""A thread with a bounded queue: full, or an expected wait above the limit, means that a call is refused at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.errors import QueueFull
from service.render.codec_queue import Pace, QueueLimits

Result = TypeVar("Result")


class BoundedThread:
    """One thread of the codec, and the calls that wait for it. Use it on one event loop, and `close` it."""

    def __init__(self, name: str, limits: QueueLimits) -> None:
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, name)
        self._waiting = 0
        self._pace = Pace()

    async def run(self, call: Callable[[], Result], *, patient: bool = False) -> Result:
        """Return the result of a call. Raises QueueFull, and whatever the call raises.

        With `patient`, no client waits, and the expected wait is not checked.
        """
        self._check_room(patient=patient)
        self._waiting += 1
        try:
            result, seconds = await asyncio.get_running_loop().run_in_executor(self._thread, _time, call)
        finally:
            self._waiting -= 1
        self._pace.begin(1)
        self._pace.end(seconds)
        return result

    def close(self) -> None:
        """Cancel the calls that wait, and wait until the one in progress is finished."""
        self._thread.shutdown(cancel_futures=True)

    def _check_room(self, *, patient: bool) -> None:
        if self._waiting >= self._limits.queue_items:
            raise QueueFull(f"{self._waiting} pictures wait for the screen mode, which is the limit")
        wait_s = self._pace.seconds(self._waiting)
        if self._limits.wait_s and not patient and wait_s > self._limits.wait_s:
            raise QueueFull(f"the expected wait is {wait_s:.1f} s, above the limit of {self._limits.wait_s} s")


def _time(call: Callable[[], Result]) -> tuple[Result, float]:
    started_s = time.perf_counter()
    return call(), time.perf_counter() - started_s
