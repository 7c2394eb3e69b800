"""An in-memory cache of byte strings with S3-FIFO eviction (Yang et al. 2023, SOSP). No I/O.

    put ----------> small queue (a tenth of the bytes) --used--> main queue (the rest)
                      |                                            |  ^
                      +--not used: evicted, and its key is kept    |  +-- used: inserted again
                         as a ghost; a ghost's next put goes       +--> not used: evicted
                         to the main queue

A scan of many keys, each used once, passes through the small queue and evicts nothing from the main queue.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

SMALL_SHARE = 0.1
"""The small queue's share of `limit_bytes`, as in the paper."""
MOST_USES = 3
"""The value at which the use count of an entry stops: two bits, as in the paper."""


@dataclass(slots=True)
class _Kept:
    value: bytes
    uses: int = 0


class _Queue(Generic[Key]):
    """A FIFO queue that knows its size in bytes."""

    def __init__(self) -> None:
        self.kept: OrderedDict[Key, _Kept] = OrderedDict()
        self.size_bytes = 0

    def append(self, key: Key, one: _Kept) -> None:
        self.kept[key] = one
        self.size_bytes += len(one.value)

    def pop_first(self) -> tuple[Key, _Kept]:
        key, one = self.kept.popitem(last=False)
        self.size_bytes -= len(one.value)
        return key, one


class S3Fifo(Generic[Key]):
    """A cache of byte strings by key, with at most `limit_bytes` of values. The bytes of the keys are not counted."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._small: _Queue[Key] = _Queue()
        self._main: _Queue[Key] = _Queue()
        self._ghosts: OrderedDict[Key, None] = OrderedDict()

    def get(self, key: Key) -> bytes | None:
        """Return the value of a key, or None, and count a use."""
        one = self._small.kept.get(key) or self._main.kept.get(key)
        if one is None:
            return None
        one.uses = min(one.uses + 1, MOST_USES)
        return one.value

    def put(self, key: Key, value: bytes) -> None:
        """Insert a value. Does nothing if the key is present, or if the value alone exceeds `limit_bytes`."""
        if len(value) > self.limit_bytes or key in self._small.kept or key in self._main.kept:
            return
        while self.size_bytes + len(value) > self.limit_bytes:
            self._evict_one()
        known = key in self._ghosts
        self._ghosts.pop(key, None)
        (self._main if known else self._small).append(key, _Kept(value))

    def __len__(self) -> int:
        return len(self._small.kept) + len(self._main.kept)

    @property
    def size_bytes(self) -> int:
        """The total size of all values in bytes."""
        return self._small.size_bytes + self._main.size_bytes

    def _evict_one(self) -> None:
        if self._small.size_bytes > SMALL_SHARE * self.limit_bytes or not self._main.kept:
            self._evict_from_small()
        else:
            self._evict_from_main()

    def _evict_from_small(self) -> None:
        key, one = self._small.pop_first()
        if one.uses:
            one.uses = 0
            self._main.append(key, one)
            return
        self._ghosts[key] = None
        while len(self._ghosts) > max(len(self), 1):  # at most as many ghosts as cached values, as in the paper
            self._ghosts.popitem(last=False)

    def _evict_from_main(self) -> None:
        """Evict the first value of the main queue, or put it at the end with one use less if it was used.

        The use count falls each time, so that the loop in `put` ends.
        """
        key, one = self._main.pop_first()
        if one.uses:
            one.uses -= 1
            self._main.append(key, one)
