"""When a process that has died is started again: at once, or later if it did not live long. No clock, no I/O."""

from __future__ import annotations

SHORT_LIFE_S = 5.0
"""Assumed: a process that dies sooner has not served anybody, so the next one may well die of the same."""
LONGEST_WAIT_S = 30.0
"""Assumed: a cause that goes away, such as a lack of memory, is met again within this time."""


class Restarts:
    """The back-off of one process: 1, 2, 4 ... 30 s after short lives, none after a long one."""

    def __init__(self) -> None:
        self._short_lives = 0
        self._due_s = 0.0

    def note_death(self, *, lived_s: float, now_s: float) -> float:
        """Return the seconds until the next start."""
        self._short_lives = self._short_lives + 1 if lived_s < SHORT_LIFE_S else 0
        wait_s = min(2.0 ** (self._short_lives - 1), LONGEST_WAIT_S) if self._short_lives else 0.0
        self._due_s = now_s + wait_s
        return wait_s

    def is_due(self, *, now_s: float) -> bool:
        """Return whether the next one may be started."""
        return now_s >= self._due_s
