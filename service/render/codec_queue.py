"""What waits for the codec: bounded queues of decodes, of encodes and of refinements. Touches no pixels.

A full queue refuses at once; a busy one waits. It is full too where a decode would wait longer than clients do: else
past its limit the codec works for those alone who are about to leave (measured: at three times what it can do, a fifth
of its pictures were in time). Decodes go first: a hit waits for one encode at most (one to a score takes as long as
ten). A refinement goes on while neither of them waits, one slice at a time, and stays in its queue until it is
finished.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from service.errors import QueueFull
from service.render.jobs import DecodeJob, EncodeJob, RefineJob
from service.render.search_batch import SearchBatch

AnyJob = DecodeJob | EncodeJob | RefineJob
Waiting = TypeVar("Waiting")

LEARNING = 0.2
"""Assumed: of what a round took, this share counts at once. Ten rounds are less than a second."""


@dataclass(frozen=True, slots=True)
class Round:
    """What the codec's thread takes at once. A search is only there where nothing else is."""

    decodes: list[DecodeJob]
    encode: EncodeJob | None
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
        self._search: SearchBatch | None = None
        """What was taken of the refinements."""
        self._closed = False

    def __len__(self) -> int:
        """How many wait, without those that have all the time in the world."""
        return len(self._decodes) + len(self._encodes)

    def submit(self, job: AnyJob) -> None:
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

    def take(self, *, decodes: int | None = None, searches: int | None = None) -> Round | None:
        """Wait for work, so many decodes or pictures of a search at most; None means that there will be no more."""
        together = min(searches or self._limits.refine_batch, self._limits.refine_batch)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self) or self._next_search(together))
            if self._closed:
                return None
            if not len(self):
                return Round(decodes=[], encode=None, search=self._next_search(together))
            self._taken = min(len(self._decodes), decodes or self._limits.batch_items, self._limits.batch_items)
            taken = [self._decodes.popleft() for _ in range(self._taken)]
            return Round(taken, self._encodes.popleft() if self._encodes else None, search=None)

    def decoded(self, *, items: int, seconds: float) -> None:
        """So long has a round of decodes taken."""
        with self._changed:
            self._taken = 0
            if items:
                self._decode_s += LEARNING * (seconds / items - self._decode_s)

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

    def _check_wait(self) -> None:
        if not self._limits.wait_s or self._wait_s() <= self._limits.wait_s:
            return
        self._decodes = deque(job for job in self._decodes if not job.gone)
        if self._wait_s() > self._limits.wait_s:
            raise QueueFull(f"{self._wait_s():.1f} s to wait")

    def _wait_s(self) -> float:
        return (len(self._decodes) + self._taken) * self._decode_s

    def _room(self, queue: deque[Waiting], items: int) -> deque[Waiting]:
        if self._closed or len(queue) >= items:
            raise QueueFull(f"{len(queue)} are waiting")
        return queue

    def _next_search(self, together: int) -> SearchBatch | None:
        self._drop_the_gone()
        if self._search is None or self._search.is_over:
            self._search = SearchBatch(self._alike(together)) if self._refinements else None
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
