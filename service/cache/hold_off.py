"""The back-off of each picture that the origin has just failed to confirm. No I/O.

Each process has its own: one more request from each process is cheap, one more round trip to the store for each request
is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PICTURES = 4096  # assumed: some hundred kilobytes; beyond that the oldest back-off ends early


class HoldOff:
    """The back-offs of one process; 0 seconds turn it off."""

    def __init__(self, hold_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._hold_s = hold_s
        self._clock = clock
        self._until_s: dict[str, float] = {}

    def begin(self, image_id: str) -> None:
        """Start the back-off: the origin has failed with this picture now."""
        self.end(image_id)
        if len(self._until_s) >= PICTURES:
            del self._until_s[next(iter(self._until_s))]  # the oldest, since all last equally long
        self._until_s[image_id] = self._clock() + self._hold_s

    def end(self, image_id: str) -> None:
        """Clear the back-off."""
        self._until_s.pop(image_id, None)

    def holds(self, image_id: str) -> bool:
        """Return whether it is too early to ask the origin for this picture again."""
        until_s = self._until_s.get(image_id)
        if until_s is None:
            return False
        if self._clock() < until_s:
            return True
        del self._until_s[image_id]
        return False
