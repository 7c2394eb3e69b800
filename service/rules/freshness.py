"""RFC 9111 arithmetic: whether a response may be stored, and its freshness lifetime. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from service.reason import Reason
from service.rules.cache_control import (
    LONGEST_S,
    CacheControl,
    parse_cache_control,
    parse_cdn_cache_control,
)
from service.rules.forwarding import Forward
from service.rules.http_date import parse_http_date
from service.rules.negative_ttls import NegativeTtls
from service.rules.response_age import initial_age_s
from service.rules.response_fields import PassedOn, ResponseFields

NO_NEGATIVE_TTLS = NegativeTtls()
FORWARD_ALL = Forward()
# RFC 6585 3, 4, 5 and 6: a cache must not store a 428, 429, 431 or 511, even if its directives allow it.
_NEVER_STORED = {428, 429, 431, 511}
# RFC 9110 15.1: responses with the statuses in _HEURISTICALLY_CACHEABLE may be stored without an explicit lifetime.
# RFC 9111 4.2.2: responses with other statuses may be stored without one only if they are `public`.
_HEURISTICALLY_CACHEABLE = {204, 300, 301, 308, 404, 405, 410, 414, 501}
_PLAIN = {HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION}  # the cacheable statuses of a picture (200, 203)
SOURCE_ERROR_CAP_S = 60
"""The longest lifetime of a negative cache entry for an unusable file, if the operator sets none for its status
(assumed). It is short, because the operator may raise the limit that the file exceeded."""
_UNDERSTOOD = frozenset(int(status) for status in HTTPStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessRules:
    """The operator's settings for the lifetimes of responses, and the request fields that the edge forwards."""

    default_ttl_s: int
    min_ttl_s: int = 0
    max_ttl_s: int = 0
    heuristic_fraction: float = 0.0
    ttl_jitter: float = 0.0
    stale_while_revalidate_s: int = 0
    stale_if_error_s: int = 0
    negative_ttls: NegativeTtls = NO_NEGATIVE_TTLS
    forward: Forward = FORWARD_ALL


@dataclass(frozen=True, slots=True)
class Storage:
    """Whether a response may be stored: its lifetimes in seconds, or the obstacle that forbids storing it."""

    lifetime_s: int
    obstacle: Reason | None = None
    stale_while_revalidate_s: int = 0
    """For how many seconds after its lifetime the response may be served while it is revalidated."""
    stale_if_error_s: int = 0
    """For how many seconds after its lifetime the response may be served while the origin fails."""


@dataclass(frozen=True, slots=True)
class Applicable:
    """The directives that apply to this cache; `targeted` if they come from CDN-Cache-Control (RFC 9213)."""

    control: CacheControl
    targeted: bool


def storage(fields: ResponseFields, rules: FreshnessRules, *, draw: float = 0.0, transforms: bool = True) -> Storage:
    """Decide whether this shared cache may store a response (RFC 9111 3), and for how long it is fresh.

    `draw` is a random number from 0 to 1: a lifetime that the origin does not name is shortened by `ttl_jitter * draw`.
    `transforms` tells whether the picture is stored re-encoded.
    """
    applicable = _applicable(fields.passed)
    obstacle = _obstacle(applicable, fields, rules, transforms=transforms)
    if obstacle is not None:
        return Storage(lifetime_s=0, obstacle=obstacle)
    control = applicable.control
    # RFC 9111 5.2.2.4: a response with no-cache must be revalidated before each use.
    lifetime_s = 0 if control.no_cache else _lifetime_s(applicable, fields, rules, draw)
    if lifetime_s <= initial_age_s(fields) and not _can_be_validated(fields):
        return Storage(lifetime_s=lifetime_s, obstacle=Reason.NO_CACHE if control.no_cache else Reason.ALREADY_STALE)
    return Storage(
        lifetime_s=lifetime_s,
        stale_while_revalidate_s=_allowance_s(
            control, control.stale_while_revalidate_s, rules.stale_while_revalidate_s
        ),
        stale_if_error_s=_allowance_s(control, control.stale_if_error_s, rules.stale_if_error_s),
    )


def negative_lifetime_s(status: int, fields: ResponseFields, rules: FreshnessRules) -> int:
    """Return the freshness lifetime in seconds of an error response (RFC 9111 3); 0 means that it must not be stored.

    An explicit lifetime of the origin overrides the operator's lifetime for this status.
    """
    applicable = _applicable(fields.passed)
    if status in _NEVER_STORED or not rules.forward.covers(fields.passed.vary):
        return 0
    control = applicable.control
    if control.no_cache or control.private or is_forbidden(control, status):
        return 0
    explicit_s = explicit_lifetime_s(applicable, fields)
    lifetime_s = _implicit_negative_s(status, control, fields, rules) if explicit_s is None else explicit_s
    return min(lifetime_s, rules.max_ttl_s or LONGEST_S, LONGEST_S)


def source_error_lifetime_s(status: int, verdict: Storage, fields: ResponseFields, rules: FreshnessRules) -> int:
    """Return the lifetime in seconds of a negative cache entry for an unusable file of the origin; 0 for no entry.

    The entry is fresh for as long as a picture with the same fields would be, up to the operator's limit for this
    status. If there is no such limit, SOURCE_ERROR_CAP_S applies, and the origin must name a lifetime: a response
    without one may be an error page for one client.
    """
    if verdict.obstacle is Reason.NO_TRANSFORM:  # an error is not a transformed picture, so it may be stored
        verdict = storage(fields, rules, transforms=False)
    if verdict.obstacle is not None or not rules.negative_ttls.seconds:
        return 0
    limit_s = rules.negative_ttls.of(status)
    if limit_s is None:
        limit_s = 0 if explicit_lifetime_s(_applicable(fields.passed), fields) is None else SOURCE_ERROR_CAP_S
    return max(0, min(int(verdict.lifetime_s - initial_age_s(fields)), limit_s))


def _implicit_negative_s(status: int, control: CacheControl, fields: ResponseFields, rules: FreshnessRules) -> int:
    """Return the operator's lifetime for this status, else the heuristic one if negative caching is on, else 0.

    All lifetimes are in seconds.
    """
    named_s = rules.negative_ttls.of(status)
    if named_s is not None:
        return named_s
    may_guess = control.public or status in _HEURISTICALLY_CACHEABLE
    heuristic_s = _heuristic_s(fields, rules) if may_guess and rules.negative_ttls.seconds else None
    return heuristic_s or 0


def implicit_lifetime_s(fields: ResponseFields, rules: FreshnessRules) -> int:
    """Return the lifetime in seconds (before jitter) of a response that names none: heuristic, or the operator's."""
    if fields.status < HTTPStatus.MULTIPLE_CHOICES and fields.status != HTTPStatus.NO_CONTENT:
        return _clamp_s(_implicit_s(fields, rules), rules)
    return _implicit_negative_s(fields.status, _applicable(fields.passed).control, fields, rules)


def may_be_transformed(passed: PassedOn) -> bool:
    """Return whether caches may re-encode the picture, because there is no `no-transform` (RFC 9110 7.7)."""
    # CDN-Cache-Control replaces only the caching directives of Cache-Control (RFC 9213 2.2), and no-transform is none,
    # so both fields are searched for it.
    return not (parse_cache_control(passed.cache_control).no_transform or _applicable(passed).control.no_transform)


def is_private(passed: PassedOn) -> bool:
    """Return whether the answer is for one client alone (RFC 9111 5.2.2.7)."""
    return _applicable(passed).control.private


def explicit_lifetime_s(applicable: Applicable, fields: ResponseFields) -> int | None:
    """Return the lifetime in seconds that the origin names (RFC 9111 4.2.1), or None if it names none."""
    control = applicable.control
    if control.s_maxage_s is not None:  # RFC 9111 5.2.2.10: s-maxage overrides max-age in shared caches
        return control.s_maxage_s
    if control.max_age_s is not None:  # RFC 9111 5.3: max-age overrides Expires
        return control.max_age_s
    if applicable.targeted or not fields.passed.expires:  # RFC 9213 2.2: CDN-Cache-Control overrides Expires
        return None
    expires_s = parse_http_date(fields.passed.expires, now_s=fields.answered_s)
    if expires_s is None:  # RFC 9111 5.3: an invalid Expires, such as "0", counts as a date in the past
        return 0
    date_s = parse_http_date(fields.passed.date, now_s=fields.answered_s)
    return max(0, expires_s - int(fields.answered_s if date_s is None else date_s))


def is_forbidden(control: CacheControl, status: int) -> bool:
    """Return whether no-store forbids storing the response (RFC 9111 5.2.2.5).

    With must-understand, no-store applies only to caches that do not know the status (RFC 9111 5.2.2.3).
    """
    return status not in _UNDERSTOOD if control.must_understand else control.no_store


def _applicable(passed: PassedOn) -> Applicable:
    targeted = parse_cdn_cache_control(passed.cdn_cache_control)
    if targeted is not None:
        return Applicable(targeted, targeted=True)
    return Applicable(parse_cache_control(passed.cache_control), targeted=False)


def _obstacle(
    applicable: Applicable, fields: ResponseFields, rules: FreshnessRules, *, transforms: bool
) -> Reason | None:
    control, passed = applicable.control, fields.passed
    for obstacle, applies in (
        (Reason.NO_STORE, is_forbidden(control, fields.status)),
        (Reason.PRIVATE, control.private),  # RFC 9111 5.2.2.7: shared caches must not store private responses
        (Reason.NO_TRANSFORM, transforms and not may_be_transformed(passed)),
        # RFC 9110 15.1: statuses other than 200 and 203 need an explicit lifetime or `public`.
        (
            Reason.STATUS,
            fields.status not in _PLAIN and not control.public and explicit_lifetime_s(applicable, fields) is None,
        ),
        # RFC 9111 4.1: `Vary: *` never matches, and a field that is not forwarded cannot select a variant.
        (Reason.VARY, not rules.forward.covers(passed.vary)),
    ):
        if applies:
            return obstacle
    return None


def _can_be_validated(fields: ResponseFields) -> bool:
    """Return whether the response has a validator: ETag, or a valid Last-Modified (RFC 9111 4.3.1)."""
    return bool(fields.etag or parse_http_date(fields.passed.last_modified, now_s=fields.answered_s))


def _allowance_s(control: CacheControl, explicit_s: int | None, default_s: int) -> int:
    """Return for how many seconds a stale response may be served: `explicit_s` of the origin, else `default_s`.

    Return 0 if a directive forbids it.
    """
    # RFC 9111 4.2.4: no-cache, must-revalidate and proxy-revalidate forbid serving stale responses.
    if control.no_cache or control.must_revalidate or control.proxy_revalidate:
        return 0
    if explicit_s is not None:
        return explicit_s
    # RFC 9111 5.2.2.10: s-maxage implies proxy-revalidate, which forbids stale responses. An explicit
    # stale-while-revalidate or stale-if-error (RFC 5861) overrides it.
    return 0 if control.s_maxage_s is not None else default_s


def _lifetime_s(applicable: Applicable, fields: ResponseFields, rules: FreshnessRules, draw: float) -> int:
    explicit_s = explicit_lifetime_s(applicable, fields)
    if explicit_s is not None:
        return _clamp_s(explicit_s, rules)
    # With jitter, pictures stored at the same time do not all become stale at the same time. An explicit lifetime is
    # never shortened.
    implicit_s = _clamp_s(_implicit_s(fields, rules), rules)
    return max(int(implicit_s * (1 - rules.ttl_jitter * draw)), min(implicit_s, rules.min_ttl_s))


def _clamp_s(lifetime_s: int, rules: FreshnessRules) -> int:
    return min(max(lifetime_s, rules.min_ttl_s), rules.max_ttl_s or LONGEST_S, LONGEST_S)


def _implicit_s(fields: ResponseFields, rules: FreshnessRules) -> int:
    heuristic_s = _heuristic_s(fields, rules)
    return rules.default_ttl_s if heuristic_s is None else heuristic_s


def _heuristic_s(fields: ResponseFields, rules: FreshnessRules) -> int | None:
    """Return the heuristic lifetime in seconds, a fraction of the time since Last-Modified (RFC 9111 4.2.2).

    Return None if the operator has not set a fraction, or if Last-Modified is missing or invalid.
    """
    modified_s = parse_http_date(fields.passed.last_modified, now_s=fields.answered_s)
    date_s = parse_http_date(fields.passed.date, now_s=fields.answered_s)
    made_s = fields.answered_s if date_s is None else date_s
    if not rules.heuristic_fraction or modified_s is None or modified_s > made_s:
        return None
    return int(rules.heuristic_fraction * (made_s - modified_s))
