"""What waits for the codec: a bounded queue of decodes and one of encodes. Touches no pixels.

A full queue refuses at once; a busy one waits. Decodes go first: a hit waits for one encode at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.errors import CodecError, QueueFull

Pixels = NDArray[np.uint8]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture, and where its time went."""

    pixels: Pixels
    queue_s: float
    entropy_s: float
    synthesis_s: float


@dataclass(slots=True, kw_only=True)
class Job(Generic[Result]):
    """Work for the codec's thread, and the future on an event loop that waits for it."""

    future: asyncio.Future[Result]
    submitted_s: float = field(default_factory=time.perf_counter)

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""
        return self.future.done()

    def succeed(self, result: Result) -> None:
        """Called on the codec's thread."""
        self._deliver(lambda: self.future.set_result(result))

    def fail(self, error: CodecError) -> None:
        """Called on the codec's thread."""
        self._deliver(lambda: self.future.set_exception(error))

    def _deliver(self, settle: Callable[[], None]) -> None:
        def settle_once() -> None:
            if not self.future.done():
                settle()

        with contextlib.suppress(RuntimeError):  # the loop was closed: so nobody waits
            self.future.get_loop().call_soon_threadsafe(settle_once)


@dataclass(slots=True, kw_only=True)
class DecodeJob(Job[Decoded]):
    """A bitstream that is to become a rendition."""

    bitstream: bytes
    size_px: int


@dataclass(slots=True, kw_only=True)
class EncodeJob(Job[bytes]):
    """A high picture that is to become a bitstream."""

    pixels: Pixels
    quality: int


@dataclass(frozen=True, slots=True)
class Round:
    """What the codec's thread takes at once."""

    decodes: list[DecodeJob]
    encode: EncodeJob | None


class CodecQueue:
    """Filled from event loops, emptied by one thread."""

    def __init__(self, *, queue_items: int, batch_items: int) -> None:
        self._queue_items = queue_items
        self._batch_items = batch_items
        self._changed = threading.Condition()
        self._decodes: deque[DecodeJob] = deque()
        self._encodes: deque[EncodeJob] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._decodes) + len(self._encodes)

    def submit(self, job: DecodeJob | EncodeJob) -> None:
        """Raises QueueFull."""
        with self._changed:
            if isinstance(job, DecodeJob):
                self._room(self._decodes).append(job)
            else:
                self._room(self._encodes).append(job)
            self._changed.notify()

    def take(self) -> Round | None:
        """Wait for work; None means that there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self))
            if self._closed:
                return None
            count = min(len(self._decodes), self._batch_items)
            decodes = [self._decodes.popleft() for _ in range(count)]
            return Round(decodes=decodes, encode=self._encodes.popleft() if self._encodes else None)

    def close(self) -> list[DecodeJob | EncodeJob]:
        """End `take`; returns what nobody will take any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return [*self._decodes, *self._encodes]

    def _room(self, queue: deque[Result]) -> deque[Result]:
        if self._closed or len(queue) >= self._queue_items:
            raise QueueFull(f"{len(queue)} are waiting")
        return queue
