"""Tell which demoted pictures are requested so often that they should be fetched again. No I/O.

Only requests for the generated picture (344 px) count, because the medium latent suffices for the 172 px picture. Each
process counts its own requests, in a table of limited size.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

PICTURES = 4096
"""The largest number of pictures in the table (assumed: some hundred kilobytes). The least recently requested one is
removed first."""
WINDOW_S = 3600.0
"""The time in which the requests for a picture must come (assumed: as long as the default lifetime of a picture)."""
HOLD_S = 60.0
"""The shortest time between two attempts to fetch the same picture (assumed): the first one may still be running."""


@dataclass(slots=True)
class _Requests:
    first_s: float
    count: int = 0
    not_before_s: float = float("-inf")


class Promotion:
    """Counts the requests for generated pictures in one process."""

    def __init__(self, requests: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """A picture is due at its `requests`-th request within WINDOW_S; 0 turns this off."""
        self._needed = requests
        self._clock = clock
        self._seen: OrderedDict[bytes, _Requests] = OrderedDict()

    def is_due(self, key: bytes) -> bool:
        """Count a request for the generated picture under this key, and return whether to fetch the picture now."""
        if not self._needed:
            return False
        now_s, seen = self._clock(), self._noted(key)
        if seen.count < self._needed or now_s < seen.not_before_s:
            return False
        seen.not_before_s = now_s + HOLD_S
        return True

    def _noted(self, key: bytes) -> _Requests:
        now_s = self._clock()
        seen = self._seen.pop(key, None)
        if seen is None or now_s - seen.first_s > WINDOW_S:
            seen = _Requests(now_s)
        self._seen[key] = seen
        seen.count += 1
        if len(self._seen) > PICTURES:
            self._seen.popitem(last=False)
        return seen
