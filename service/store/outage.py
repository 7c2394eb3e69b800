"""Log an outage in a few lines, however many commands fail in it: its beginning, a line a minute, and its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

AGAIN_S = 60.0
QUIET_S = 5.0
"""Assumed: an outage has ended if no command has failed for so long. Reads may work while writes fail."""


class Outage:
    """The outages of one server."""

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._failures = 0
        """In the present outage; 0 without one."""
        self._began_s = self._failed_s = self._logged_s = 0.0

    def note_failure(self, why: str) -> None:
        """Count a failure. Log the first one of an outage, and then one a minute."""
        now_s = self._clock()
        self._failed_s = now_s
        self._failures += 1
        if self._failures == 1:
            self._began_s = now_s
            self._log("%s fails: %s", self._name, why)
        elif now_s - self._logged_s >= AGAIN_S:
            self._log("%s fails, %d times in %.0f s: %s", self._name, self._failures, now_s - self._began_s, why)

    def note_success(self) -> None:
        """Log the end of an outage, if nothing has failed for a while."""
        if self._failures and self._clock() - self._failed_s >= QUIET_S:
            self._log(
                "%s works again: %d failures in %.0f s", self._name, self._failures, self._failed_s - self._began_s
            )
            self._failures = 0

    def _log(self, message: str, *values: object) -> None:
        self._logged_s = self._clock()
        logging.getLogger(__name__).warning(message, *values)
