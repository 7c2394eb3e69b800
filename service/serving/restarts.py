"""Back-off for process restarts: no wait after a long life, a growing wait after short ones. No clock, no I/O."""

from __future__ import annotations

SHORT_LIFE_S = 5.0
"""Seconds below which a life counts as short (assumed): the next process will probably die of the same cause."""
LONGEST_WAIT_S = 30.0
"""The longest back-off in seconds (assumed). A temporary cause, such as a lack of memory, may be over by then."""


class Restarts:
    """The back-off of one process: 1, 2, 4, ... 30 s after successive short lives, and no wait after a long life."""

    def __init__(self) -> None:
        self._short_lives = 0
        self._due_s = 0.0

    def note_death(self, *, lived_s: float, now_s: float) -> float:
        """Record that the process died after `lived_s` seconds, and return the seconds until it may start again."""
        self._short_lives = self._short_lives + 1 if lived_s < SHORT_LIFE_S else 0
        wait_s = min(2.0 ** (self._short_lives - 1), LONGEST_WAIT_S) if self._short_lives else 0.0
        self._due_s = now_s + wait_s
        return wait_s

    def is_due(self, *, now_s: float) -> bool:
        """Return whether the wait is over, so that the process may be started again."""
        return now_s >= self._due_s
