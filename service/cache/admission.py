"""Which pictures are worth an encode: the ones that are asked for a second time within a while. No I/O.

A count-min sketch with conservative update (Cormode and Muthukrishnan 2005; Estan and Varghese 2002) counts in so many
cells, whatever the number of pictures; two of them take turns, so that what was asked for is forgotten in time (Yoon
2010, active-active buffering).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

CELLS = 2**20
"""Bytes of one sketch."""
ROWS = 4
_WHICH = struct.Struct(f"<{ROWS}I")
TURN_AFTER = 2**17
"""Pictures in one sketch (derived): with 4 cells of a million each, 1 first request in 40 counts as a second then."""
ENOUGH = 2


class Admission:
    """Remembers requests for at least `window_s`, and no longer than twice as long; 0 admits everything."""

    def __init__(self, window_s: float, *, clock: Callable[[], float]) -> None:
        self._window_s = window_s
        self._clock = clock
        self._turn_s = clock() + window_s
        self._current = bytearray(CELLS if window_s else 0)
        self._former = bytearray(len(self._current))
        self._counted = 0

    def note(self, key: bytes) -> None:
        """Count one request."""
        if not self._window_s:
            return
        self._take_turns()
        cells = _cells(key)
        least = min(self._current[cell] for cell in cells)
        if least < ENOUGH:
            self._counted += 1
            for cell in cells:
                self._current[cell] = max(self._current[cell], least + 1)

    def admits(self, key: bytes) -> bool:
        """Return whether the picture was asked for more than once."""
        if not self._window_s:
            return True
        return min(self._current[cell] + self._former[cell] for cell in _cells(key)) >= ENOUGH

    def _take_turns(self) -> None:
        now_s = self._clock()
        if now_s < self._turn_s and self._counted < TURN_AFTER:
            return
        both_are_old = now_s >= self._turn_s + self._window_s
        self._former = bytearray(CELLS) if both_are_old else self._current
        self._current, self._counted, self._turn_s = bytearray(CELLS), 0, now_s + self._window_s


def _cells(key: bytes) -> tuple[int, ...]:
    digest = hashlib.blake2b(key, digest_size=_WHICH.size).digest()
    return tuple(number % CELLS for number in _WHICH.unpack(digest))
