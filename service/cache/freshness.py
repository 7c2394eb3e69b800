"""RFC 9111 arithmetic: may an answer be stored, how long is it fresh, how old is it? No I/O, no clock.

An answer that would have to be validated before each use is not stored: this edge does not revalidate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

# RFC 9111 1.2.2: a larger number of seconds counts as this one.
LONGEST_S = 2**31

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_DIRECTIVE = re.compile(rf'({_NAME})(?:=("(?:[^"\\]|\\.)*"|[^,]*))?')


@dataclass(frozen=True, slots=True)
class CacheControl:
    """The directives of a response that this edge acts on (RFC 9111 5.2.2)."""

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    max_age_s: int | None = None
    s_maxage_s: int | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """Whether an answer may be stored: for how long, or why not."""

    lifetime_s: int
    obstacle: str | None = None


def parse_cache_control(field: str) -> CacheControl:
    """The directives in a Cache-Control field, several lines joined by commas."""
    directives: dict[str, str] = {}
    for match in _DIRECTIVE.finditer(field):
        # RFC 9111 4.2.1: of a directive given twice, the first counts. 5.2: names ignore case.
        directives.setdefault(match[1].lower(), match[2] or "")
    return CacheControl(
        no_store="no-store" in directives,
        # RFC 9111 5.2.2.4 and 5.2.2.7: the forms with field names may be taken as the plain ones.
        no_cache="no-cache" in directives,
        private="private" in directives,
        max_age_s=_delta_seconds(directives.get("max-age")),
        s_maxage_s=_delta_seconds(directives.get("s-maxage")),
    )


def storage(control: CacheControl, *, initial_age_s: float, default_ttl_s: int) -> Storage:
    """Whether a shared cache may store this answer (RFC 9111 3), and its freshness lifetime (4.2.1)."""
    for obstacle, applies in (
        ("no-store", control.no_store),  # RFC 9111 5.2.2.5
        ("private", control.private),  # RFC 9111 5.2.2.7
        ("no-cache", control.no_cache),  # RFC 9111 5.2.2.4: needs a validation for each use
    ):
        if applies:
            return Storage(lifetime_s=0, obstacle=obstacle)
    lifetime_s = _lifetime_s(control, default_ttl_s)
    if lifetime_s <= initial_age_s:
        return Storage(lifetime_s=lifetime_s, obstacle="already-stale")
    return Storage(lifetime_s=lifetime_s)


def initial_age_s(*, age_field: str, date_field: str, asked_s: float, answered_s: float) -> float:
    """How old an answer is when it arrives (RFC 9111 4.2.3, corrected_initial_age)."""
    date_s = parse_http_date(date_field)
    apparent_age_s = 0.0 if date_s is None else max(0.0, answered_s - date_s)
    age_value_s = (_delta_seconds(age_field) or 0) if age_field.strip() else 0
    response_delay_s = answered_s - asked_s
    return max(apparent_age_s, age_value_s + response_delay_s)


def age_s(*, born_ms: int, now_s: float) -> int:
    """The Age of a stored answer (RFC 9111 4.2.3, current_age): never negative, whatever the clocks say."""
    return max(0, int(now_s - born_ms / 1000))


def remaining_s(*, born_ms: int, lifetime_s: int, now_s: float) -> int:
    """How long an answer stays fresh; nothing left means stale (RFC 9111 4.2)."""
    return int(born_ms / 1000 + lifetime_s - now_s)


def parse_http_date(field: str) -> int | None:
    """A date in any of the three forms of RFC 9110 5.6.7, or None."""
    try:
        date = parsedate_to_datetime(field)
        # The asctime form names no zone; RFC 9110 5.6.7 says that it is UTC.
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def _lifetime_s(control: CacheControl, default_ttl_s: int) -> int:
    if control.s_maxage_s is not None:  # RFC 9111 5.2.2.10: for shared caches it overrides max-age
        return control.s_maxage_s
    if control.max_age_s is not None:
        return control.max_age_s
    return default_ttl_s  # RFC 9111 4.2.2: heuristic; here the operator's


def _delta_seconds(text: str | None) -> int | None:
    if text is None:
        return None
    digits = text.strip().strip('"')  # RFC 9111 5.2: both the token and the quoted form are accepted
    if not (digits.isascii() and digits.isdigit()):
        return 0  # RFC 9111 4.2.1: invalid freshness information is taken as stale
    return min(LONGEST_S, int(digits[:20]))
