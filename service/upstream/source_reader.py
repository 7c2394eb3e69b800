"""Reads the files of the origin in two lanes: no small picture waits behind a large one.

a file -> its header says how much work it may be
       -> little    a thread of this process
       -> much      the child (see `source_child`): one at a time, the smallest of those that wait first
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from typing import TypeVar

from service.errors import QueueFull
from service.render import image_file
from service.render.image_file import ImageLimits
from service.upstream.child_reader import ChildLimits, ChildReader
from service.upstream.source import Prepared, prepare

Result = TypeVar("Result")
SMALL_PX = 2**22
"""Measured: up to 0.2 s of a processor in the costliest format. Most pictures of the web have fewer."""
WAITING = 32
"""Assumed: half of the files that may be in memory (see `upstream`), so that the other half is free for small ones."""


class SourceReader:
    """Makes both reference pictures of a file."""

    def __init__(self, limits: ImageLimits, *, threads: Executor, processor_s: int) -> None:
        self._limits = limits
        self._threads = threads
        self._child_thread = ThreadPoolExecutor(1, "large-source")
        self._child = ChildReader(ChildLimits.within(limits.source_pixels, processor_s=processor_s))
        self._lane = Lane(WAITING)

    async def prepare(self, file: bytes) -> Prepared:
        """Raises a SourceError, or QueueFull if too many large files wait."""
        ready = await self.on_thread(lambda: self._prepared_or_work_px(file))
        if isinstance(ready, Prepared):
            return ready
        async with self._lane.turn(ready):
            return await self._run(self._child_thread, lambda: self._child.prepare(file))

    async def on_thread(self, call: Callable[[], Result]) -> Result:
        """Call something short beside the small files."""
        return await self._run(self._threads, call)

    def close(self) -> None:
        """End the child, whatever it is doing. Nobody waits for a file any more."""
        self._child.interrupt()
        self._child_thread.shutdown(cancel_futures=True)
        self._child.close()

    def _prepared_or_work_px(self, file: bytes) -> Prepared | int:
        work_px = image_file.work_px(file, limits=self._limits)
        return work_px if work_px > SMALL_PX else prepare(file, self._limits)

    async def _run(self, threads: Executor, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(threads, call)


class Lane:
    """One at a time, the least work first; what comes when too many wait is refused."""

    def __init__(self, waiting: int) -> None:
        self._free = waiting
        self._is_taken = False
        self._line: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    @asynccontextmanager
    async def turn(self, work: int) -> AsyncIterator[None]:
        """Wait for a turn and have it. Raises QueueFull."""
        if self._is_taken:
            await self._wait(work)
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, work: int) -> None:
        if not self._free:
            raise QueueFull("too many large files wait")
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._line, (work, next(self._numbers), turn))
        self._free -= 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came, and is not wanted any more
                self._pass_on()
            raise
        finally:
            self._free += 1

    def _pass_on(self) -> None:
        while self._line:
            *_, turn = heapq.heappop(self._line)
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
