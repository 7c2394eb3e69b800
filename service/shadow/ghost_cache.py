"""A cache that holds only the names and sizes of files, and evicts like the store. No I/O, no clock.

The policy is volatile-lfu of Redis and Valkey (evict.c): each name has a counter that grows by the logarithm of its
accesses and falls with the minutes, and the lowest of a few names drawn at random is evicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

# Redis' own numbers: LFU_INIT_VAL, lfu-log-factor, lfu-decay-time (one a minute), maxmemory-samples, EVPOOL_SIZE.
FIRST_COUNT = 5
LOG_FACTOR = 10
SAMPLES = 5
POOL = 16
MOST_COUNT = 255

Name = tuple[int, int]
"""The hash of a picture, and the number of its size."""


@dataclass(slots=True)
class _Entry:
    size_bytes: int
    count: int
    at_min: int
    """The minute of the last access."""
    place: int
    """The index in the list from which names are drawn."""


class GhostCache:
    """The names that a cache of `capacity_bytes` would hold."""

    def __init__(self, *, seed: int) -> None:
        self.capacity_bytes = 0.0
        self.used_bytes = 0
        self.has_evicted = False
        self._random = Random(seed)  # noqa: S311  (draws eviction candidates, guards no secret)
        self._entries: dict[Name, _Entry] = {}
        self._names: list[Name] = []
        self._pool: list[Name] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: Name) -> bool:
        return name in self._entries

    def access(self, name: Name, size_bytes: int, *, minute: int) -> bool:
        """Return whether the file was present. Add it if not; a file that does not fit is evicted at once."""
        entry = self._entries.get(name)
        if entry is None:
            self._entries[name] = _Entry(size_bytes, FIRST_COUNT, minute, len(self._names))
            self._names.append(name)
            self.used_bytes += size_bytes
        else:
            entry.count = self._grown(_decayed(entry, minute))
            entry.at_min = minute
            self.used_bytes += size_bytes - entry.size_bytes
            entry.size_bytes = size_bytes
        self.shrink(minute=minute)
        return entry is not None

    def shrink(self, *, minute: int) -> None:
        """Evict files until the cache fits its capacity."""
        while self.used_bytes > self.capacity_bytes and self._entries:
            self.has_evicted = True
            self._remove(self._choose(minute))

    def drop_from(self, threshold: int) -> None:
        """Remove the pictures whose hash is not below `threshold`, which are no longer sampled."""
        for name in [name for name in self._names if name[0] >= threshold]:
            self._remove(name)

    def _grown(self, count: int) -> int:
        """Return the counter after an access: it grows with a probability that falls as it grows (LFULogIncr)."""
        if count >= MOST_COUNT:
            return count
        chance = 1 / (max(0, count - FIRST_COUNT) * LOG_FACTOR + 1)
        return count + (self._random.random() < chance)

    def _choose(self, minute: int) -> Name:
        drawn = [self._names[self._random.randrange(len(self._names))] for _ in range(SAMPLES)]
        candidates = dict.fromkeys(name for name in [*self._pool, *drawn] if name in self._entries)
        ranked = sorted(candidates, key=lambda name: _decayed(self._entries[name], minute))
        self._pool = ranked[1:POOL]
        return ranked[0]

    def _remove(self, name: Name) -> None:
        entry = self._entries.pop(name)
        self.used_bytes -= entry.size_bytes
        last = self._names.pop()
        if last != name:
            self._names[entry.place] = last
            self._entries[last].place = entry.place


def _decayed(entry: _Entry, minute: int) -> int:
    return max(0, entry.count - max(0, minute - entry.at_min))
