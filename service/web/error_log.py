"""Log the errors of requests at a limited rate. Otherwise an outage of the origin would fill the disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import EdgeError

BURST = 10
REFILL_S = 1.0
"""Log BURST errors of a kind at once, then one every REFILL_S seconds, to show that they continue (assumed)."""


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_s: float
    omitted: int = 0


class ErrorLog:
    """Logs up to ten errors of each class at once, then one a second, with the number of errors not logged between."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[type[EdgeError], _Bucket] = {}

    def report(self, error: EdgeError, request_id: str) -> None:
        """Log an error if its class is meant for the operator, unless too many of that class were just logged."""
        if not error.report:
            return
        now_s = self._clock()
        bucket = self._buckets.setdefault(type(error), _Bucket(BURST, now_s))
        bucket.left = min(BURST, bucket.left + (now_s - bucket.filled_s) / REFILL_S)
        bucket.filled_s = now_s
        if bucket.left < 1:
            bucket.omitted += 1
            return
        more = f"; {bucket.omitted} more were not logged" if bucket.omitted else ""
        logging.getLogger(__name__).warning("%s: %s (request %s%s)", type(error).__name__, error, request_id, more)
        bucket.left -= 1
        bucket.omitted = 0
