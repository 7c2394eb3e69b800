"""What waits for the codec: bounded queues of decodes, of encodes and of refinements. Touches no pixels.

A full queue refuses a job at once. It also refuses a decode or an encode that would wait longer than clients do:
otherwise, past its limit, the codec works only for clients that are about to leave (measured: at three times its
capacity, a fifth of its pictures were in time). Decodes go first: a hit waits for one batch of encodes at most. A
refinement goes on while neither decodes nor encodes wait, one slice at a time, and stays in its queue until it is
finished.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from service.errors import QueueFull
from service.render.jobs import DecodeJob, EncodeJob, RefineJob
from service.render.search_batch import SearchBatch

AnyJob = DecodeJob | EncodeJob | RefineJob
Waiting = TypeVar("Waiting")

LEARNING = 0.2
"""Assumed: this share of what a round took counts at once. Ten rounds are less than a second."""


@dataclass(frozen=True, slots=True)
class Round:
    """What the codec's thread takes at once. A search is only there where nothing else is."""

    decodes: list[DecodeJob]
    encodes: list[EncodeJob]
    search: SearchBatch | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How much may wait, and is taken at once."""

    queue_items: int
    batch_items: int
    refine_items: int
    refine_batch: int = 1
    """Most pictures that are searched for together."""
    wait_s: float = 0.0
    """Longest expected wait of a decode or an encode; 0: however long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """How many items of each kind the device gains by taking at once."""

    decodes: int
    encodes: int
    searches: int


class Pace:
    """How long one kind of job takes: a moving average, and the number of such jobs that are being done."""

    def __init__(self) -> None:
        self._job_s = 0.0
        self._taken = 0

    def taken(self, items: int) -> None:
        """Note that so many are being done."""
        self._taken = items

    def done(self, seconds: float) -> None:
        """Note how long these have taken."""
        if self._taken:
            self._job_s += LEARNING * (seconds / self._taken - self._job_s)
        self._taken = 0

    def seconds(self, waiting: int) -> float:
        """Return the seconds until this many queued jobs, and the ones under way, are finished."""
        return (waiting + self._taken) * self._job_s


class CodecQueue:
    """Filled from event loops, emptied by one thread."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._decoding, self._encoding = Pace(), Pace()
        self._changed = threading.Condition()
        self._decodes: deque[DecodeJob] = deque()
        self._encodes: deque[EncodeJob] = deque()
        self._refinements: deque[RefineJob] = deque()
        self._search: SearchBatch | None = None
        """What was taken of the refinements."""
        self._closed = False

    def __len__(self) -> int:
        """Return how many decodes and encodes wait; refinements are not counted, because no client waits for them."""
        return len(self._decodes) + len(self._encodes)

    def submit(self, job: AnyJob) -> None:
        """Raises QueueFull."""
        with self._changed:
            match job:
                case DecodeJob():
                    self._check_wait(self._decode_wait_s)
                    self._room(self._decodes, self._limits.queue_items).append(job)
                case EncodeJob():
                    if not job.patient:
                        self._check_wait(self._encode_wait_s)
                    self._room(self._encodes, self._limits.queue_items).append(job)
                case RefineJob():
                    self._drop_the_gone()
                    self._room(self._refinements, self._limits.refine_items).append(job)
            self._changed.notify()

    def take(self, most: Together) -> Round | None:
        """Wait for work and return no more of it than `most`; None means that there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self) or self._next_search(most.searches))
            if self._closed:
                return None
            if not len(self):
                return Round(decodes=[], encodes=[], search=self._next_search(most.searches))
            decodes = self._taken(self._decodes, most.decodes)
            encodes = self._taken(self._encodes, most.encodes)
            self._decoding.taken(len(decodes))
            self._encoding.taken(len(encodes))
            return Round(decodes, encodes, search=None)

    def decoded(self, *, seconds: float) -> None:
        """Note how long the decodes of a round have taken."""
        with self._changed:
            self._decoding.done(seconds)

    def encoded(self, *, seconds: float) -> None:
        """Note how long the encodes of a round have taken."""
        with self._changed:
            self._encoding.done(seconds)

    def begin_anew(self) -> None:
        """Forget how long jobs take, this round included: another device does them from now on."""
        with self._changed:
            self._decoding, self._encoding = Pace(), Pace()

    def finished(self, job: RefineJob) -> None:
        """The job has its answer and leaves the queue."""
        with self._changed:
            self._refinements = deque(one for one in self._refinements if one is not job)

    def part(self, search: SearchBatch) -> None:
        """Search for each picture of a failed batch alone: one that cannot be searched for must not fail the others."""
        with self._changed:
            for job in search.left:
                job.alone = True
            self._search = None

    def close(self) -> list[AnyJob]:
        """End `take`; returns what nobody will take any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return [*self._decodes, *self._encodes, *self._refinements]

    def _check_wait(self, wait_s: Callable[[], float]) -> None:
        if not self._limits.wait_s or wait_s() <= self._limits.wait_s:
            return
        self._decodes = deque(job for job in self._decodes if not job.gone)
        self._encodes = deque(job for job in self._encodes if not job.gone)
        if wait_s() > self._limits.wait_s:
            raise QueueFull(f"{wait_s():.1f} s to wait")

    def _decode_wait_s(self) -> float:
        return self._decoding.seconds(len(self._decodes))

    def _encode_wait_s(self) -> float:
        """Decodes go first, so an encode waits for these too."""
        return self._encoding.seconds(len(self._encodes)) + self._decode_wait_s()

    def _taken(self, queue: deque[Waiting], most: int) -> list[Waiting]:
        return [queue.popleft() for _ in range(min(len(queue), most, self._limits.batch_items))]

    def _room(self, queue: deque[Waiting], items: int) -> deque[Waiting]:
        if self._closed or len(queue) >= items:
            raise QueueFull(f"{len(queue)} are waiting")
        return queue

    def _next_search(self, most: int) -> SearchBatch | None:
        self._drop_the_gone()
        if self._search is None or self._search.is_over:
            self._search = SearchBatch(self._alike(min(most, self._limits.refine_batch))) if self._refinements else None
        return self._search

    def _alike(self, together: int) -> list[RefineJob]:
        """Return the job that has waited longest, and the jobs that can be searched together with it."""
        first = self._refinements[0]
        if first.alone:
            return [first]
        alike = (job for job in self._refinements if not job.alone and job.search.steps == first.search.steps)
        return list(islice(alike, together))

    def _drop_the_gone(self) -> None:
        self._refinements = deque(job for job in self._refinements if not job.gone)
