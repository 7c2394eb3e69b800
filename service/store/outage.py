"""Log an outage in a few lines, no matter how many commands fail: at its start, once a minute, and at its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

AGAIN_S = 60.0
QUIET_S = 5.0
"""An outage has ended if a command succeeds after this many seconds without a failure (assumed). A single success is
not enough, because reads may work while writes fail."""


class Outage:
    """Counts the failures of one server, and logs the start and the end of each outage."""

    def __init__(self, name: str, *, quiet_s: float = QUIET_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._quiet_s = quiet_s
        self._clock = clock
        self._failures = 0
        """The number of failures in the current outage; 0 if there is no outage."""
        self._began_s = self._failed_s = self._logged_s = 0.0

    @property
    def is_on(self) -> bool:
        """Return whether an outage has begun and not ended yet."""
        return self._failures > 0

    def note_failure(self, why: str) -> None:
        """Count a failure. Log the first failure of an outage, and after that at most one a minute."""
        now_s = self._clock()
        self._failed_s = now_s
        self._failures += 1
        if self._failures == 1:
            self._began_s = now_s
            self._log("%s fails: %s", self._name, why)
        elif now_s - self._logged_s >= AGAIN_S:
            self._log("%s fails, %d times in %.0f s: %s", self._name, self._failures, now_s - self._began_s, why)

    def note_success(self) -> None:
        """Note that a command succeeded. Log the end of an outage if nothing has failed for QUIET_S seconds."""
        if self._failures and self._clock() - self._failed_s >= self._quiet_s:
            self._log(
                "%s works again: %d failures in %.0f s", self._name, self._failures, self._failed_s - self._began_s
            )
            self._failures = 0

    def _log(self, message: str, *values: object) -> None:
        self._logged_s = self._clock()
        logging.getLogger(__name__).warning(message, *values)
