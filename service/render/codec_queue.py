"""The bounded queues of the codec: decodes, encodes, demotions and searches. Touches no pixels.

A full queue refuses a job at once. It also refuses a decode or an encode that would probably wait longer than `wait_s`.
Otherwise an overloaded codec would finish most pictures after their clients have disconnected (measured: at three times
its capacity, one picture in five was in time). Decodes go first, so a hit waits for at most one batch of encodes. While
no decode or encode waits, one demotion runs, or else one slice of a search for better latents, which stays in its queue
until it is finished.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from service.errors import QueueFull
from service.render.jobs import DecodeJob, DemoteJob, EncodeJob, RefineJob
from service.render.search_batch import SearchBatch

AnyJob = DecodeJob | EncodeJob | DemoteJob | RefineJob
Waiting = TypeVar("Waiting")

DEMOTIONS = 8
"""The maximum number of demotions that wait (assumed): one edge of a store demotes at a time, one record after
another."""
LEARNING = 0.2
"""The weight of the latest round in the moving average of a job's time (assumed: ten rounds take under a second)."""


@dataclass(frozen=True, slots=True)
class Round:
    """The work that the codec's thread takes from the queues at a time.

    It is decodes and encodes, or a demotion, or a slice of a search.
    """

    decodes: list[DecodeJob]
    encodes: list[EncodeJob]
    search: SearchBatch | None
    demotion: DemoteJob | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """The limits of the codec's queues, its batches, and the expected wait of a job."""

    queue_items: int
    batch_items: int
    refine_items: int
    refine_batch: int = 1
    """The maximum number of pictures in one search for better latents."""
    wait_s: float = 0.0
    """The longest expected wait in seconds with which a decode or an encode is accepted; 0 means no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizes:
    """The maximum number of jobs of each kind for one round. On a CPU each is 1, because a batch saves no time
    there."""

    decodes: int
    encodes: int
    searches: int


class Pace:
    """The average time of one kind of job (a moving average over rounds), and the number of such jobs in progress."""

    def __init__(self) -> None:
        self._job_s = 0.0
        self._under_way = 0

    def begin(self, items: int) -> None:
        """Record that `items` jobs are now in progress."""
        self._under_way = items

    def end(self, seconds: float) -> None:
        """Record that all jobs in progress are done, and took `seconds` together."""
        if self._under_way:
            self._job_s += LEARNING * (seconds / self._under_way - self._job_s)
        self._under_way = 0

    def seconds(self, waiting: int) -> float:
        """Return the expected time until `waiting` queued jobs and the jobs in progress are done."""
        return (waiting + self._under_way) * self._job_s


class CodecQueue:
    """The queues of one codec. Any thread may submit a job; the codec's thread takes the jobs out."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._decoding, self._encoding = Pace(), Pace()
        self._changed = threading.Condition()
        self._decodes: deque[DecodeJob] = deque()
        self._encodes: deque[EncodeJob] = deque()
        self._demotions: deque[DemoteJob] = deque()
        self._refinements: deque[RefineJob] = deque()
        self._search: SearchBatch | None = None
        """The search in progress, or None. Its unfinished jobs are still in `_refinements`."""
        self._closed = False

    def __len__(self) -> int:
        """Return how many decodes and encodes wait. The rest is not counted, because no client waits for it."""
        return len(self._decodes) + len(self._encodes)

    def submit(self, job: AnyJob) -> None:
        """Queue a job. Raises QueueFull if its queue is full, its expected wait is too long, or after `close`."""
        with self._changed:
            match job:
                case DecodeJob():
                    self._check_wait(self._decode_wait_s)
                    self._room(self._decodes, self._limits.queue_items).append(job)
                case EncodeJob():
                    if not job.patient:
                        self._check_wait(self._encode_wait_s)
                    self._room(self._encodes, self._limits.queue_items).append(job)
                case DemoteJob():
                    self._demotions = deque(waiting for waiting in self._demotions if not waiting.gone)
                    self._room(self._demotions, DEMOTIONS).append(job)
                case RefineJob():
                    self._drop_cancelled()
                    self._room(self._refinements, self._limits.refine_items).append(job)
            self._changed.notify()

    def take(self, most: BatchSizes) -> Round | None:
        """Wait for jobs and return the next round, of at most `most` jobs of each kind. Return None after `close`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or len(self) or self._demotions or self._next_search(most.searches)
            )
            if self._closed:
                return None
            if not len(self):
                if self._demotions:
                    return Round(decodes=[], encodes=[], search=None, demotion=self._demotions.popleft())
                return Round(decodes=[], encodes=[], search=self._next_search(most.searches))
            decodes = self._pop(self._decodes, most.decodes)
            encodes = self._pop(self._encodes, most.encodes)
            self._decoding.begin(len(decodes))
            self._encoding.begin(len(encodes))
            return Round(decodes, encodes, search=None)

    def end_decodes(self, *, seconds: float) -> None:
        """Record that the decodes of a round are done, and took `seconds` together."""
        with self._changed:
            self._decoding.end(seconds)

    def end_encodes(self, *, seconds: float) -> None:
        """Record that the encodes of a round are done, and took `seconds` together."""
        with self._changed:
            self._encoding.end(seconds)

    def forget_pace(self) -> None:
        """Forget the average times of jobs, because another device does them from now on."""
        with self._changed:
            self._decoding, self._encoding = Pace(), Pace()

    def remove(self, job: RefineJob) -> None:
        """Remove a search job that has been answered from the queue."""
        with self._changed:
            self._refinements = deque(one for one in self._refinements if one is not job)

    def split(self, search: SearchBatch) -> None:
        """Let the jobs of a failed search run one by one, so that one bad picture does not fail the others."""
        with self._changed:
            for job in search.unanswered:
                job.alone = True
            self._search = None

    def close(self) -> list[AnyJob]:
        """End `take`, and return all jobs that are still queued."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return [*self._decodes, *self._encodes, *self._demotions, *self._refinements]

    def _check_wait(self, wait_s: Callable[[], float]) -> None:
        if not self._limits.wait_s or wait_s() <= self._limits.wait_s:
            return
        self._decodes = deque(job for job in self._decodes if not job.gone)
        self._encodes = deque(job for job in self._encodes if not job.gone)
        if wait_s() > self._limits.wait_s:
            raise QueueFull(f"the expected wait is {wait_s():.1f} s, above the limit of {self._limits.wait_s} s")

    def _decode_wait_s(self) -> float:
        return self._decoding.seconds(len(self._decodes))

    def _encode_wait_s(self) -> float:
        """Return the expected wait of a new encode in seconds. Decodes go first, so their time is part of it."""
        return self._encoding.seconds(len(self._encodes)) + self._decode_wait_s()

    def _pop(self, queue: deque[Waiting], most: int) -> list[Waiting]:
        return [queue.popleft() for _ in range(min(len(queue), most, self._limits.batch_items))]

    def _room(self, queue: deque[Waiting], items: int) -> deque[Waiting]:
        if self._closed or len(queue) >= items:
            raise QueueFull(f"{len(queue)} jobs are waiting for the codec; the limit is {items}")
        return queue

    def _next_search(self, most: int) -> SearchBatch | None:
        self._drop_cancelled()
        if self._search is None or self._search.is_over:
            self._search = (
                SearchBatch(self._next_jobs(min(most, self._limits.refine_batch))) if self._refinements else None
            )
        return self._search

    def _next_jobs(self, together: int) -> list[RefineJob]:
        """Return the jobs of the next search: the one that has waited longest, and others with equally many steps."""
        first = self._refinements[0]
        if first.alone:
            return [first]
        alike = (job for job in self._refinements if not job.alone and job.search.steps == first.search.steps)
        return list(islice(alike, together))

    def _drop_cancelled(self) -> None:
        self._refinements = deque(job for job in self._refinements if not job.gone)
