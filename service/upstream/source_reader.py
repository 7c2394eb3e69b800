"""Decode files of the origin in two lanes, so that no small picture waits behind a large one.

a file -> an upper bound of the decoding work is computed from its bytes (see `decoding_work`)
       -> small work                   it is decoded on a thread of this process
       -> large work, or no bound      it is decoded in the child (see `source_child`): one file at a time, the one with
                                       the least work first
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from typing import TypeVar

from service.errors import PictureTooLarge, QueueFull
from service.render import decoding_work
from service.render.image_file import ImageLimits
from service.render.shown_part import WHITE, Colour
from service.upstream.child_reader import ChildLimits, ChildReader
from service.upstream.source import Prepared, prepare

Result = TypeVar("Result")
SMALL_PX = 2**22
"""The maximum number of pixels of a small file. Decoding it takes up to 0.2 s of CPU time in the slowest format
(measured)."""
WAITING_CAP = 32
"""The maximum number of large files that may wait. Assumed: half of the fetched files in memory (EDGE_ORIGIN_FETCHES),
so that there is room for small files too."""


class SourceReader:
    """Decodes files and resizes them to both sizes."""

    def __init__(self, limits: ImageLimits, *, threads: Executor, cpu_s: int, background: Colour = WHITE) -> None:
        self._small = ImageLimits(min(SMALL_PX, limits.source_pixels))
        self._background = background
        self._threads = threads
        self._child_thread = ThreadPoolExecutor(1, "large-source")
        self._child = ChildReader(ChildLimits.for_pixels(limits.source_pixels, cpu_s=cpu_s), background)
        self._lane = Lane(WAITING_CAP)

    async def prepare(self, file: bytes) -> Prepared:
        """Decode and resize a file. Raises a SourceError, or QueueFull if too many large files wait."""
        ready = await self.run_on_thread(lambda: self._prepare_if_small(file))
        if isinstance(ready, Prepared):
            return ready
        async with self._lane.turn(ready):
            return await self._run(self._child_thread, lambda: self._child.prepare(file))

    async def run_on_thread(self, call: Callable[[], Result]) -> Result:
        """Run a short call on the threads that decode small files, and return its result."""
        return await self._run(self._threads, call)

    def close(self) -> None:
        """Kill the child, even if it is reading a file. `prepare` must not be called any more."""
        self._child.interrupt()
        self._child_thread.shutdown(cancel_futures=True)
        self._child.close()

    def _prepare_if_small(self, file: bytes) -> Prepared | int:
        """Return the prepared picture of a small file, or the work in pixels that a large file counts for in the lane.

        If the work has no known bound, it is SMALL_PX plus the size of the file in bytes.
        """
        work_px = decoding_work.bound_px(file)
        if work_px is None:
            return SMALL_PX + len(file)
        if work_px > SMALL_PX:
            return work_px
        try:
            return prepare(file, self._small, self._background)
        except PictureTooLarge:  # Pillow found more pixels than the bound, so the child decides about the file
            return SMALL_PX + len(file)

    async def _run(self, threads: Executor, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(threads, call)


class Lane:
    """A lock with a bounded queue: the waiting task with the least work goes first."""

    def __init__(self, waiting: int) -> None:
        self._free = waiting
        self._is_taken = False
        self._queue: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    @asynccontextmanager
    async def turn(self, work: int) -> AsyncIterator[None]:
        """Hold the lock during the block. Raises QueueFull if too many tasks wait."""
        if self._is_taken:
            await self._wait(work)
        self._is_taken = True
        try:
            yield
        finally:
            self._wake_next()

    async def _wait(self, work: int) -> None:
        if not self._free:
            raise QueueFull("too many large files are waiting to be decoded")
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (work, next(self._numbers), turn))
        self._free -= 1
        try:
            await turn
        except asyncio.CancelledError:
            # A task that is cancelled just after its turn has come must wake the next task.
            if turn.done() and not turn.cancelled():
                self._wake_next()
            raise
        finally:
            self._free += 1

    def _wake_next(self) -> None:
        while self._queue:
            *_, turn = heapq.heappop(self._queue)
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
