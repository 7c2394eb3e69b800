"""Parse the lifetimes of negative cache entries for origins that name no lifetime (EDGE_NEGATIVE_TTL_S). No I/O.

They are written as `404=60,410=60,5xx=2`: seconds by status or by class of statuses. 0 turns negative caching off.
RFC 9111 4.2.2 allows an assumed lifetime for 404, 405, 410, 414 and 501. For other errors the operator must set one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OFF = "0"
LONGEST_S = 2**31
_ENTRY = re.compile(r"([45](?:\d\d|xx))=(\d{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class NegativeTtls:
    """Lifetimes of negative cache entries, in seconds, by status (404) and by class (5xx)."""

    seconds: tuple[tuple[str, int], ...] = ()

    def of(self, status: int) -> int | None:
        """Return the lifetime in seconds for a status (404), else the one for its class (4xx), else None."""
        by_name = dict(self.seconds)
        return by_name.get(str(status), by_name.get(f"{status // 100}xx"))

    def __str__(self) -> str:
        return ",".join(f"{name}={ttl_s}" for name, ttl_s in self.seconds) or OFF


def read_negative_ttls(value: object) -> NegativeTtls:
    """Parse the value of EDGE_NEGATIVE_TTL_S. Raises ValueError with a message for the operator."""
    if isinstance(value, NegativeTtls):
        return value
    text = str(value).replace(" ", "")
    if text == OFF:
        return NegativeTtls()
    entries = [_ENTRY.fullmatch(entry) for entry in text.split(",")]
    seconds = tuple((entry[1], int(entry[2])) for entry in entries if entry is not None and int(entry[2]) <= LONGEST_S)
    if len(seconds) < len(entries) or len(dict(seconds)) < len(entries):
        raise ValueError("the value must be 0, or statuses and seconds such as 404=60,410=60,5xx=2, each status once")
    return NegativeTtls(seconds)
