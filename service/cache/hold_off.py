"""Back-off of pictures whose revalidation has just failed. No I/O.

Each process keeps its own back-offs: an additional request of each process to the origin is cheap, but an additional
round trip to the store for each request is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PICTURES = 4096  # assumed; takes some hundred kilobytes. With more back-offs at a time, the oldest one ends early


class HoldOff:
    """The back-offs of one process, of `hold_s` seconds each; 0 turns them off."""

    def __init__(self, hold_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._hold_s = hold_s
        self._clock = clock
        self._until_s: dict[str, float] = {}

    def begin(self, image_id: str) -> None:
        """Start the back-off of a picture, or start it again."""
        self.end(image_id)
        if len(self._until_s) >= PICTURES:
            del self._until_s[next(iter(self._until_s))]  # the first entry is the oldest back-off, which would end next
        self._until_s[image_id] = self._clock() + self._hold_s

    def end(self, image_id: str) -> None:
        """Clear the back-off of a picture."""
        self._until_s.pop(image_id, None)

    def holds(self, image_id: str) -> bool:
        """Return whether the picture is in back-off, so that the origin must not be asked for it now."""
        until_s = self._until_s.get(image_id)
        if until_s is None:
            return False
        if self._clock() < until_s:
            return True
        del self._until_s[image_id]
        return False
