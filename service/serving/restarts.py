"""Back-off for restarts of a process: at once after a long life, later after a short one. No clock, no I/O."""

from __future__ import annotations

SHORT_LIFE_S = 5.0
"""A process that dies sooner has a short life (assumed): its successor probably dies of the same cause."""
LONGEST_WAIT_S = 30.0
"""Longest back-off (assumed): after a temporary cause, such as a lack of memory, service resumes within it."""


class Restarts:
    """The back-off of one process: 1, 2, 4, ... 30 s after successive short lives, and none after a long one."""

    def __init__(self) -> None:
        self._short_lives = 0
        self._due_s = 0.0

    def note_death(self, *, lived_s: float, now_s: float) -> float:
        """Record a death after `lived_s` seconds, and return the seconds until the next start."""
        self._short_lives = self._short_lives + 1 if lived_s < SHORT_LIFE_S else 0
        wait_s = min(2.0 ** (self._short_lives - 1), LONGEST_WAIT_S) if self._short_lives else 0.0
        self._due_s = now_s + wait_s
        return wait_s

    def is_due(self, *, now_s: float) -> bool:
        """Return whether the process may be started again."""
        return now_s >= self._due_s
