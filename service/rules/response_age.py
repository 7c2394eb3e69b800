"""RFC 9111 arithmetic: the age of a response, from its Date and Age, and how long it stays fresh. No I/O, no clock."""

from __future__ import annotations

from dataclasses import replace

from service.rules.cache_control import parse_delta_seconds
from service.rules.http_date import http_date, parse_http_date
from service.rules.response_fields import ResponseFields


def with_date(fields: ResponseFields) -> ResponseFields:
    """Return the fields with a valid Date. A missing or invalid one becomes the time of receipt (RFC 9110 6.6.1)."""
    if parse_http_date(fields.passed.date, now_s=fields.answered_s) is not None:
        return fields
    return replace(fields, passed=replace(fields.passed, date=http_date(fields.answered_s)))


def read_age(field: str) -> str:
    """Return the value of an Age field as a string of digits; "" if it is absent or invalid."""
    # RFC 9111 5.1: the first of several Age values counts, and an invalid value is ignored.
    seconds = parse_delta_seconds(field.partition(",")[0].strip(" \t"))
    return "" if seconds is None else str(seconds)


def initial_age_s(fields: ResponseFields) -> float:
    """Return the age in seconds of a response on arrival (RFC 9111 4.2.3, corrected_initial_age)."""
    date_s = parse_http_date(fields.passed.date, now_s=fields.answered_s)
    apparent_age_s = 0.0 if date_s is None else max(0.0, fields.answered_s - date_s)
    age_value_s = int(read_age(fields.age) or "0")
    response_delay_s = fields.answered_s - fields.asked_s
    return max(apparent_age_s, age_value_s + response_delay_s)


def born_ms(fields: ResponseFields) -> int:
    """Return when the origin generated the response, computed from Age and Date: milliseconds since the epoch."""
    return round((fields.answered_s - initial_age_s(fields)) * 1000)


def age_s(*, born_ms: int, now_s: float) -> int:
    """Return the age of a stored response in seconds (RFC 9111 4.2.3, current_age). It is never negative."""
    return max(0, int(now_s - born_ms / 1000))


def remaining_s(*, born_ms: int, lifetime_s: int, now_s: float) -> int:
    """Return for how many seconds a response stays fresh; 0 or less means that it is stale (RFC 9111 4.2)."""
    # The age is truncated to whole seconds before it is subtracted. If the difference were truncated instead, every
    # lifetime would be one second too short.
    return lifetime_s - age_s(born_ms=born_ms, now_s=now_s)
