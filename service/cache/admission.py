"""Admission: encode a picture only at its second request within a time window. No I/O.

A count-min sketch with conservative update (Cormode and Muthukrishnan 2005; Estan and Varghese 2002) counts requests in
a fixed amount of memory, whatever the number of pictures. Two sketches alternate: the current one counts requests, the
former one holds the counts of the window before, and older counts are dropped (Yoon 2010, active-active buffering).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

CELLS = 2**20
"""The number of counters (cells) in one sketch, one byte each."""
ROWS = 4
"""The number of counters that a request for one picture increments."""
_CELL_NUMBERS = struct.Struct(f"<{ROWS}I")
TURN_AFTER = 2**17
"""The number of counted requests after which a new sketch is started (derived).

With more, hash collisions would make over 1 in 40 first requests count as a second one.
"""
ENOUGH = 2
"""The number of requests within the window that a picture needs to be encoded."""


class Admission:
    """Counts the requests for each picture over the last `window_s` to 2 * `window_s` seconds.

    With a `window_s` of 0, nothing is counted and every picture is admitted.
    """

    def __init__(self, window_s: float, *, clock: Callable[[], float]) -> None:
        self._window_s = window_s
        self._clock = clock
        self._turn_s = clock() + window_s
        self._current = bytearray(CELLS if window_s else 0)
        self._former = bytearray(len(self._current))
        self._counted = 0

    def note(self, key: bytes) -> None:
        """Count one request for the picture with this key."""
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
        """Return whether the picture was requested at least twice within the window, or `window_s` is 0."""
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
    digest = hashlib.blake2b(key, digest_size=_CELL_NUMBERS.size).digest()
    return tuple(number % CELLS for number in _CELL_NUMBERS.unpack(digest))
