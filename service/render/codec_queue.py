"""What waits for the codec: bounded queues of decodes, of encodes and of refinements. Touches no pixels.

A full queue refuses at once; a busy one waits. Decodes go first: a hit waits for one encode at most (one to a score
takes as long as ten). A refinement goes on while neither of them waits, one slice at a time, and stays in its queue
until it is finished.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.errors import CodecError, QueueFull
from service.quality import Quality, TargetScore

if TYPE_CHECKING:
    from models.refinement import Refinement

Pixels = NDArray[np.uint8]
Write = Callable[[Pixels], bytes]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture, and where its time went."""

    pixels: Pixels
    queue_s: float
    entropy_s: float
    synthesis_s: float
    file: bytes | None = None
    """What `write` of the job has made of the pixels."""
    file_s: float = 0.0


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
    write: Write | None = None
    """What else is done on the codec's thread, while it has the pixels at hand."""


@dataclass(slots=True, kw_only=True)
class EncodeJob(Job[bytes]):
    """A high picture that is to become a bitstream."""

    pixels: Pixels
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for: a better bitstream of this quality, which still has the score that was promised."""

    quality: int
    steps: int
    target: TargetScore | None = None


@dataclass(slots=True, kw_only=True)
class RefineJob(Job[bytes | None]):
    """A high picture for which a better bitstream is looked for."""

    pixels: Pixels
    search: Search
    refinement: Refinement | None = None
    """How far it is; the codec's thread alone touches it."""


@dataclass(frozen=True, slots=True)
class Round:
    """What the codec's thread takes at once. A refinement is only there where nothing else is."""

    decodes: list[DecodeJob]
    encode: EncodeJob | None
    refinement: RefineJob | None


class CodecQueue:
    """Filled from event loops, emptied by one thread."""

    def __init__(self, *, queue_items: int, batch_items: int, refine_items: int) -> None:
        self._queue_items = queue_items
        self._batch_items = batch_items
        self._refine_items = refine_items
        self._changed = threading.Condition()
        self._decodes: deque[DecodeJob] = deque()
        self._encodes: deque[EncodeJob] = deque()
        self._refinements: deque[RefineJob] = deque()
        self._closed = False

    def __len__(self) -> int:
        """How many wait, without those that have all the time in the world."""
        return len(self._decodes) + len(self._encodes)

    def submit(self, job: DecodeJob | EncodeJob | RefineJob) -> None:
        """Raises QueueFull."""
        with self._changed:
            match job:
                case DecodeJob():
                    self._room(self._decodes, self._queue_items).append(job)
                case EncodeJob():
                    self._room(self._encodes, self._queue_items).append(job)
                case RefineJob():
                    self._drop_the_gone()
                    self._room(self._refinements, self._refine_items).append(job)
            self._changed.notify()

    def take(self) -> Round | None:
        """Wait for work; None means that there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self) or self._next_refinement())
            if self._closed:
                return None
            if not len(self):
                return Round(decodes=[], encode=None, refinement=self._next_refinement())
            count = min(len(self._decodes), self._batch_items)
            decodes = [self._decodes.popleft() for _ in range(count)]
            return Round(decodes, self._encodes.popleft() if self._encodes else None, refinement=None)

    def finished(self, job: RefineJob) -> None:
        """The next refinement may begin."""
        with self._changed:
            self._refinements = deque(one for one in self._refinements if one is not job)

    def close(self) -> list[DecodeJob | EncodeJob | RefineJob]:
        """End `take`; returns what nobody will take any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return [*self._decodes, *self._encodes, *self._refinements]

    def _room(self, queue: deque[Result], items: int) -> deque[Result]:
        if self._closed or len(queue) >= items:
            raise QueueFull(f"{len(queue)} are waiting")
        return queue

    def _next_refinement(self) -> RefineJob | None:
        self._drop_the_gone()
        return self._refinements[0] if self._refinements else None

    def _drop_the_gone(self) -> None:
        self._refinements = deque(job for job in self._refinements if not job.gone)
