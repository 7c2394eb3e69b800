"""The shadow baseline: a sample of the pictures in two ghost caches, one of JPEG and one of AVIF files. No I/O.

Pictures are sampled by a hash of their id (SHARDS, Waldspurger et al., FAST 2015), and the memory of the ghosts is the
same share of the store's memory (miniature simulation, USENIX ATC 2017). If the sample becomes too large, the threshold
of the hash below which pictures are sampled is lowered.

The sample is used only to measure the difference: the requests that the latents answer and the files would not, and
vice versa. This difference is subtracted from the hit ratio of all requests. The few most popular pictures, which cause
the error of plain samples, are hits for both and so add no error. The error is twice the standard error over GROUPS
groups of pictures.

Doubts are resolved in favour of the files: a purge does not remove them, they expire together with the latent, and
until a ghost has evicted a file, a picture that the store had before this process began also counts as a hit of the
files.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from service.shadow.events import ALL, Event
from service.shadow.ghost_cache import GhostCache

FORMATS = ("jpeg", "avif")
MOST_FILES = 4096
"""The maximum number of files in each ghost. A ghost of this size takes about 1.5 MB."""
GROUPS = 16
WINDOW_MIN = 60
_SHRINK = 0.875
_SEEDS = {"jpeg": 1, "avif": 2}


@dataclass(slots=True)
class _Minute:
    """The sums of one minute: the difference by format and by group of pictures."""

    at_min: int
    counted: int = 0
    hits: int = 0
    scaled: float = 0.0
    """The counted requests times the share of pictures that were sampled at that time."""
    differences: dict[str, list[int]] = field(default_factory=lambda: {name: [0] * GROUPS for name in FORMATS})


@dataclass(frozen=True, slots=True)
class Estimate:
    """A hit ratio that the same memory would have had with files, and twice its standard error."""

    hit_ratio: float
    error: float


class Baseline:
    """The ghosts of one edge, and the sums of the last hour."""

    def __init__(self, *, most_files: int = MOST_FILES) -> None:
        self._most_files = most_files
        self._ghosts = {name: GhostCache(seed=_SEEDS[name]) for name in FORMATS}
        self._seen: set[int] = set()
        """The sampled pictures that were requested before a ghost had evicted a file."""
        self._minutes: deque[_Minute] = deque(maxlen=WINDOW_MIN)
        self._memory_bytes = 0.0
        self._file_overhead_bytes = 0
        self.threshold = ALL

    @property
    def rate(self) -> float:
        """The share of all pictures that is sampled."""
        return self.threshold / ALL

    @property
    def is_full(self) -> bool:
        """Whether both ghosts have evicted something."""
        return all(ghost.has_evicted for ghost in self._ghosts.values())

    @property
    def files(self) -> int:
        """The number of files in the larger ghost."""
        return max(len(ghost) for ghost in self._ghosts.values())

    def set_memory(self, memory_bytes: float, *, file_overhead_bytes: int) -> None:
        """Set the memory of the store, and the bytes that a record takes in addition to its picture."""
        self._memory_bytes, self._file_overhead_bytes = memory_bytes, file_overhead_bytes
        self._scale()

    def add(self, events: Iterable[Event], *, minute: int) -> None:
        """Replay requests in the ghosts."""
        if not self._memory_bytes:
            return  # nothing is known about the store yet
        sums = self._sums(minute)
        for event in events:
            sums.counted += event.counted
            sums.hits += event.hits
            sums.scaled += event.counted * self.rate
            if event.picture < self.threshold:
                self._replay(event, sums)
        self._bound(minute)

    def own_hit_ratio(self) -> float | None:
        """Return the hit ratio of the latents in the same hour."""
        counted = sum(one.counted for one in self._minutes)
        return sum(one.hits for one in self._minutes) / counted if counted else None

    def estimate(self, name: str) -> Estimate | None:
        """Return the hit ratio that files of this format would have had in the last hour, or None without requests."""
        own, scaled = self.own_hit_ratio(), sum(one.scaled for one in self._minutes)
        if own is None or not scaled:
            return None
        groups = [sum(one.differences[name][group] for one in self._minutes) for group in range(GROUPS)]
        mean = sum(groups) / GROUPS
        variance = GROUPS / (GROUPS - 1) * sum((one - mean) ** 2 for one in groups)
        # 1 - rate: once all pictures are in the sample, there is no sampling error.
        error = 2 * math.sqrt(variance * (1 - self.rate)) / scaled
        return Estimate(min(1.0, max(0.0, own - sum(groups) / scaled)), error)

    def _replay(self, event: Event, sums: _Minute) -> None:
        name, group = (event.picture, event.size), event.picture % GROUPS
        is_new = event.picture not in self._seen
        for kind, size_bytes in (("jpeg", event.jpeg_bytes), ("avif", event.avif_bytes)):
            ghost = self._ghosts[kind]
            hit = ghost.access(name, size_bytes + self._file_overhead_bytes, minute=sums.at_min)
            # The ghost began empty, but the store may have had the picture before.
            had_before = is_new and not ghost.has_evicted and bool(event.own_hit)
            sums.differences[kind][group] += event.own_hit - (hit or had_before)
        if self.is_full:
            self._seen.clear()
        else:
            self._seen.add(event.picture)

    def _sums(self, minute: int) -> _Minute:
        if not self._minutes or self._minutes[-1].at_min != minute:
            self._minutes.append(_Minute(minute))
        while self._minutes[0].at_min <= minute - WINDOW_MIN:
            self._minutes.popleft()
        return self._minutes[-1]

    def _bound(self, minute: int) -> None:
        while self.files > self._most_files or len(self._seen) > self._most_files:
            self.threshold = int(self.threshold * _SHRINK)
            self._seen = {picture for picture in self._seen if picture < self.threshold}
            for ghost in self._ghosts.values():
                ghost.drop_from(self.threshold)
            self._scale()
        for ghost in self._ghosts.values():
            ghost.shrink(minute=minute)

    def _scale(self) -> None:
        for ghost in self._ghosts.values():
            ghost.capacity_bytes = self._memory_bytes * self.rate
