"""Limit the freshness of a response by the expiry of its signed URL, for the caches downstream. No I/O, no clock."""

from __future__ import annotations

from dataclasses import replace

from service.rules.cache_control import CacheControl, parse_cache_control, parse_cdn_cache_control, write_cache_control
from service.rules.http_date import parse_http_date
from service.rules.response_fields import PassedOn


def limit_by_expiry(passed: PassedOn, *, age: str, expires_s: int, now_s: float) -> PassedOn:
    """Return the fields with which no cache keeps the response fresh after its URL has expired.

    `age` is the Age field of the response: a lifetime counts from when the origin generated it (RFC 9111 4.2.3).
    """
    end_s = max(0, int(expires_s - now_s)) + (int(age) if age.isdigit() else 0)
    return _limit_plain(_limit_targeted(passed, end_s), end_s, expires_s=expires_s, now_s=now_s)


def _limit_plain(passed: PassedOn, end_s: int, *, expires_s: int, now_s: float) -> PassedOn:
    control = parse_cache_control(passed.cache_control)
    if control.max_age_s is None and passed.expires:
        stated_s = parse_http_date(passed.expires, now_s=now_s)
        if stated_s is None or stated_s <= expires_s:  # RFC 9111 5.3: an invalid date is in the past
            return replace(passed, cache_control=_written(passed.cache_control, control, _limit_shared(control, end_s)))
    written = _written(passed.cache_control, control, _limit(control, end_s))
    # RFC 9111 5.3: max-age overrides Expires, which is dropped for caches that do not know this.
    return passed if written == passed.cache_control else replace(passed, cache_control=written, expires="")


def _limit_targeted(passed: PassedOn, end_s: int) -> PassedOn:
    control = parse_cdn_cache_control(passed.cdn_cache_control)
    if control is None:
        return passed
    return replace(passed, cdn_cache_control=_written(passed.cdn_cache_control, control, _limit(control, end_s)))


def _limit(control: CacheControl, end_s: int) -> CacheControl:
    """Return the directives with lifetimes of at most `end_s`. Without one, a cache could choose a longer one."""
    if control.no_store:
        return control
    max_age_s = end_s if control.max_age_s is None else min(control.max_age_s, end_s)
    return replace(_limit_shared(control, end_s), max_age_s=max_age_s)


def _limit_shared(control: CacheControl, end_s: int) -> CacheControl:
    """Return the directives with `s-maxage` and the use of a stale response limited to `end_s`."""
    longest_s = max(min(one, end_s) for one in (control.max_age_s or 0, control.s_maxage_s or 0))
    return replace(
        control,
        s_maxage_s=None if control.s_maxage_s is None else min(control.s_maxage_s, end_s),
        stale_while_revalidate_s=_at_most(control.stale_while_revalidate_s, end_s - longest_s),
        stale_if_error_s=_at_most(control.stale_if_error_s, end_s - longest_s),
    )


def _at_most(stated_s: int | None, limit_s: int) -> int | None:
    return None if stated_s is None else min(stated_s, limit_s)


def _written(field: str, before: CacheControl, after: CacheControl) -> str:
    """Return the origin's own text unless a directive has changed."""
    return field if before == after else write_cache_control(after)
