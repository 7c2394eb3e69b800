"""How long an error of the origin is remembered where the origin itself does not say so. Pure.

Written as `404=60,410=60,5xx=2`: a status or a class of them, and seconds; 0 remembers none. RFC 9111 4.2.2 allows this
for 404, 405, 410, 414 and 501; that of other errors is the operator's own decision, and off by default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OFF = "0"
LONGEST_S = 2**31
_ENTRY = re.compile(r"([45](?:\d\d|xx))=(\d{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class NegativeTtls:
    """Seconds by status, such as 404, and by class, such as 5xx."""

    seconds: tuple[tuple[str, int], ...] = ()

    def of(self, status: int) -> int | None:
        """A status by itself counts before its class; None for one of which nothing is said."""
        by_name = dict(self.seconds)
        return by_name.get(str(status), by_name.get(f"{status // 100}xx"))

    def __str__(self) -> str:
        return ",".join(f"{name}={ttl_s}" for name, ttl_s in self.seconds) or OFF


def read_negative_ttls(value: object) -> NegativeTtls:
    """Raises ValueError for what says nothing of the kind."""
    if isinstance(value, NegativeTtls):
        return value
    text = str(value).replace(" ", "")
    if text == OFF:
        return NegativeTtls()
    entries = [_ENTRY.fullmatch(entry) for entry in text.split(",")]
    seconds = tuple((entry[1], int(entry[2])) for entry in entries if entry is not None and int(entry[2]) <= LONGEST_S)
    if len(seconds) < len(entries) or len(dict(seconds)) < len(entries):
        raise ValueError("must be 0, or statuses and seconds such as 404=60,410=60,5xx=2, each once")
    return NegativeTtls(seconds)
