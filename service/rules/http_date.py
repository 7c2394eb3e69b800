"""Parse and format HTTP dates (RFC 9110 5.6.7) in the three forms that a recipient must accept. No I/O, no clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import formatdate

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = "(?P<month>" + "|".join(_MONTHS) + ")"
_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)"
_WHOLE_DAY = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        rf"{_DAY}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT",  # the IMF-fixdate form
        rf"{_WHOLE_DAY}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT",  # the RFC 850 form
        rf"{_DAY} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",  # the asctime form
    )
)
_CAP_CHARACTERS = 64  # assumed: the longest valid date has 33 characters, and spaces may surround it
_CENTURY = 100
_YEARS_AHEAD = 50
_LAST_SECOND = 59


def parse_http_date(field: str, *, now_s: float) -> int | None:
    """Return the date in seconds since the epoch, or None if it is invalid.

    The RFC 850 form has a two-digit year; `now_s` decides its century.
    """
    if len(field) > _CAP_CHARACTERS:
        return None
    match = next((match for form in _FORMS if (match := form.fullmatch(field.strip())) is not None), None)
    if match is None:
        return None
    year, second = int(match["year"]), int(match["second"])
    try:
        date = datetime(
            _whole_year(year, now_s) if len(match["year"]) == len("94") else year,
            _MONTHS.index(match["month"].lower()) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            min(second, _LAST_SECOND),  # datetime does not accept the leap second 60, so it is added afterwards
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return int(date.timestamp()) + (second == _LAST_SECOND + 1) if second <= _LAST_SECOND + 1 else None


def http_date(date_s: float) -> str:
    """Format a date as IMF-fixdate, the only form that a sender may generate."""
    return formatdate(date_s, usegmt=True)


def _whole_year(year: int, now_s: float) -> int:
    """Return the four-digit year of the two-digit `year`, at most 50 years ahead of `now_s` (RFC 9110 5.6.7)."""
    this_year = datetime.fromtimestamp(now_s, UTC).year
    whole = this_year - this_year % _CENTURY + year
    return whole - _CENTURY if whole > this_year + _YEARS_AHEAD else whole
