"""Shorten the freshness lifetime that the fields of a response give to caches downstream. No I/O, no clock."""

from __future__ import annotations

from dataclasses import replace

from service.rules.cache_control import CacheControl, parse_cache_control, parse_cdn_cache_control, write_cache_control
from service.rules.http_date import parse_http_date
from service.rules.response_fields import PassedOn


def cap_lifetime(passed: PassedOn, *, until_s: int, now_s: float) -> PassedOn:
    """Return the fields with no lifetime above `until_s`, which counts from the origin's response as Age does.

    Caches may not use the response when it is stale, so the directives that allow it are left out. So is Last-Modified:
    a later picture with the same date must not pass for this one (RFC 9110 8.8.2).
    """
    plain = parse_cache_control(passed.cache_control)
    if plain.max_age_s is None and passed.expires:
        # The new max-age overrides Expires (RFC 9111 5.3), so it must not be larger.
        plain = replace(plain, max_age_s=_expires_after_s(passed, now_s))
    targeted = parse_cdn_cache_control(passed.cdn_cache_control)
    return replace(
        passed,
        cache_control=write_cache_control(_capped(plain, until_s)),
        cdn_cache_control="" if targeted is None else write_cache_control(_capped(targeted, until_s)),
        expires="",
        last_modified="",
    )


def _capped(control: CacheControl, until_s: int) -> CacheControl:
    return replace(
        control,
        max_age_s=until_s if control.max_age_s is None else min(control.max_age_s, until_s),
        s_maxage_s=None if control.s_maxage_s is None else min(control.s_maxage_s, until_s),
        stale_while_revalidate_s=None,
        stale_if_error_s=None,
    )


def _expires_after_s(passed: PassedOn, now_s: float) -> int:
    expires_s = parse_http_date(passed.expires, now_s=now_s)
    date_s = parse_http_date(passed.date, now_s=now_s)
    # RFC 9111 5.3: an invalid Expires, such as "0", counts as a date in the past.
    return 0 if expires_s is None or date_s is None else max(0, expires_s - date_s)
