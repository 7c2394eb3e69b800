"""What waits for the codec: bounded queues of decodes, of encodes and of refinements. Touches no pixels.

A full queue refuses at once; a busy one waits. It is full too where a decode would wait longer than clients do: else
past its limit the codec works for those alone who are about to leave (measured: at three times what it can do, a fifth
of its pictures were in time). Decodes go first: a hit waits for one encode at most (one to a score
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

LEARNING = 0.2
"""Assumed: of what a round took, this share counts at once. Ten rounds are less than a second."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How much may wait, and is taken at once."""

    queue_items: int
    batch_items: int
    refine_items: int
    wait_s: float = 0.0
    """Expected, of a decode; 0: however long."""


class CodecQueue:
    """Filled from event loops, emptied by one thread."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._decode_s = 0.0
        """What a decode has taken of late."""
        self._taken = 0
        """Decodes that are being done."""
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
                    self._check_wait()
                    self._room(self._decodes, self._limits.queue_items).append(job)
                case EncodeJob():
                    self._room(self._encodes, self._limits.queue_items).append(job)
                case RefineJob():
                    self._drop_the_gone()
                    self._room(self._refinements, self._limits.refine_items).append(job)
            self._changed.notify()

    def take(self, *, decodes: int | None = None) -> Round | None:
        """Wait for work, so many decodes of it at most; None means that there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self) or self._next_refinement())
            if self._closed:
                return None
            if not len(self):
                return Round(decodes=[], encode=None, refinement=self._next_refinement())
            self._taken = min(len(self._decodes), decodes or self._limits.batch_items, self._limits.batch_items)
            taken = [self._decodes.popleft() for _ in range(self._taken)]
            return Round(taken, self._encodes.popleft() if self._encodes else None, refinement=None)

    def decoded(self, *, items: int, seconds: float) -> None:
        """So long has a round of decodes taken."""
        with self._changed:
            self._taken = 0
            if items:
                self._decode_s += LEARNING * (seconds / items - self._decode_s)

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

    def _check_wait(self) -> None:
        if not self._limits.wait_s or self._wait_s() <= self._limits.wait_s:
            return
        self._decodes = deque(job for job in self._decodes if not job.gone)
        if self._wait_s() > self._limits.wait_s:
            raise QueueFull(f"{self._wait_s():.1f} s to wait")

    def _wait_s(self) -> float:
        return (len(self._decodes) + self._taken) * self._decode_s

    def _room(self, queue: deque[Result], items: int) -> deque[Result]:
        if self._closed or len(queue) >= items:
            raise QueueFull(f"{len(queue)} are waiting")
        return queue

    def _next_refinement(self) -> RefineJob | None:
        self._drop_the_gone()
        return self._refinements[0] if self._refinements else None

    def _drop_the_gone(self) -> None:
        self._refinements = deque(job for job in self._refinements if not job.gone)
