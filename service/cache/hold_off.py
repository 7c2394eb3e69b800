"""Which pictures the origin has just failed to confirm: it is left alone with them for a while. No I/O.

Each process learns it for itself: one more request from each is little, a round trip to the store for each is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PICTURES = 4096  # assumed: some hundred kilobytes; of more the origin is asked too early


class HoldOff:
    """Of one process; 0 seconds turn it off."""

    def __init__(self, hold_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._hold_s = hold_s
        self._clock = clock
        self._until_s: dict[str, float] = {}

    def begin(self, image_id: str) -> None:
        """The origin has failed with this picture now."""
        self.end(image_id)
        if len(self._until_s) >= PICTURES:
            del self._until_s[next(iter(self._until_s))]  # the oldest: each is held for as long
        self._until_s[image_id] = self._clock() + self._hold_s

    def end(self, image_id: str) -> None:
        """Someone wants to know."""
        self._until_s.pop(image_id, None)

    def holds(self, image_id: str) -> bool:
        """Whether it is too early to ask for it again."""
        until_s = self._until_s.get(image_id)
        if until_s is None:
            return False
        if self._clock() < until_s:
            return True
        del self._until_s[image_id]
        return False
