"""Which byte strings to keep in so many bytes: S3-FIFO (Yang et al. 2023, SOSP). No I/O.

    new ----------> small (a tenth of the bytes) --asked for again--> main (the rest)
                      |                                                |  ^
                      +--never asked for: only its name is kept        |  +-- asked for since: once more around
                         (ghosts); if it comes back, it is main's      +--> out

A scan of many keys, each asked for once, passes through the small queue and takes nothing from the main one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

SMALL_SHARE = 0.1
MOST_USES = 3
"""Uses are counted so far, as in the paper: two bits."""


@dataclass(slots=True)
class _Kept:
    value: bytes
    uses: int = 0


class _Queue:
    """First in, first out, by bytes."""

    def __init__(self) -> None:
        self.kept: OrderedDict[str, _Kept] = OrderedDict()
        self.size_bytes = 0

    def append(self, key: str, one: _Kept) -> None:
        self.kept[key] = one
        self.size_bytes += len(one.value)

    def pop_first(self) -> tuple[str, _Kept]:
        key, one = self.kept.popitem(last=False)
        self.size_bytes -= len(one.value)
        return key, one


class S3Fifo:
    """Byte strings by key, `limit_bytes` of them at most; the keys' own bytes are not counted."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._small, self._main = _Queue(), _Queue()
        self._ghosts: OrderedDict[str, None] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        """Return the value, and count a use of it."""
        one = self._small.kept.get(key) or self._main.kept.get(key)
        if one is None:
            return None
        one.uses = min(one.uses + 1, MOST_USES)
        return one.value

    def put(self, key: str, value: bytes) -> None:
        """Keep a value, unless it alone is more than all that may be kept; one that is there stays as it is."""
        if len(value) > self.limit_bytes or key in self._small.kept or key in self._main.kept:
            return
        while self.size_bytes + len(value) > self.limit_bytes:
            self._make_room()
        known = key in self._ghosts
        self._ghosts.pop(key, None)
        (self._main if known else self._small).append(key, _Kept(value))

    def __len__(self) -> int:
        return len(self._small.kept) + len(self._main.kept)

    @property
    def size_bytes(self) -> int:
        """The size of all values."""
        return self._small.size_bytes + self._main.size_bytes

    def _make_room(self) -> None:
        if self._small.size_bytes > SMALL_SHARE * self.limit_bytes or not self._main.kept:
            self._leave_small()
        else:
            self._leave_main()

    def _leave_small(self) -> None:
        key, one = self._small.pop_first()
        if one.uses:
            one.uses = 0
            self._main.append(key, one)
            return
        self._ghosts[key] = None
        while len(self._ghosts) > max(len(self), 1):  # as many names as values, as in the paper
            self._ghosts.popitem(last=False)

    def _leave_main(self) -> None:
        """Drop the first value, or give it another round for a use, which is then used up: so this ends."""
        key, one = self._main.pop_first()
        if one.uses:
            one.uses -= 1
            self._main.append(key, one)
