"""RFC 9111 arithmetic: may an answer be stored, how long is it fresh, how old is it? No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus

from service.reason import Reason
from service.rules.cache_control import (
    LONGEST_S,
    CacheControl,
    parse_cache_control,
    parse_delta_seconds,
    parse_targeted,
)
from service.rules.forwarding import Forward
from service.rules.http_date import http_date, parse_http_date
from service.rules.negative_ttls import NegativeTtls
from service.rules.response_fields import PassedOn, ResponseFields

NO_NEGATIVE_TTLS = NegativeTtls()
FORWARD_ALL = Forward()
# RFC 6585 3, 4, 5 and 6: never stored, whatever is said of them.
_NEVER_STORED = {428, 429, 431, 511}
# RFC 9110 15.1, those that bring no picture. RFC 9111 4.2.2: others only where the answer is marked public.
_HEURISTICALLY_CACHEABLE = {204, 300, 301, 308, 404, 405, 410, 414, 501}
_PLAIN = {HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION}  # and these, that do
_UNDERSTOOD = frozenset(int(status) for status in HTTPStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessRules:
    """What the operator decides about lifetimes, 0 turns each off; and by what an answer may vary."""

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
    """Whether an answer may be stored: for how long, or why not."""

    lifetime_s: int
    obstacle: Reason | None = None
    stale_while_revalidate_s: int = 0
    stale_if_error_s: int = 0


@dataclass(frozen=True, slots=True)
class Applicable:
    """The directives that count, and whether they were meant for caches like this one alone."""

    control: CacheControl
    targeted: bool


def storage(fields: ResponseFields, rules: FreshnessRules, *, draw: float = 0.0) -> Storage:
    """Whether a shared cache that makes new pictures may store this one (RFC 9111 3), and its freshness lifetime.

    `draw` of 0 to 1 says how much of the jitter a lifetime of ours loses.
    """
    applicable = _applicable(fields.passed)
    obstacle = _obstacle(applicable, fields, rules)
    if obstacle is not None:
        return Storage(lifetime_s=0, obstacle=obstacle)
    control = applicable.control
    # RFC 9111 5.2.2.4: good for nothing but to be validated.
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
    """How long an error is remembered (RFC 9111 3): as the origin says, else as the operator does; 0 for not at all."""
    applicable = _applicable(fields.passed)
    if status in _NEVER_STORED or not rules.forward.covers(fields.passed.vary):
        return 0
    control = applicable.control
    if control.no_cache or control.private or is_forbidden(control, status):
        return 0
    explicit_s = explicit_lifetime_s(applicable, fields)
    lifetime_s = _unsaid_refusal_s(status, control, fields, rules) if explicit_s is None else explicit_s
    return min(lifetime_s, rules.max_ttl_s or LONGEST_S, LONGEST_S)


def _unsaid_refusal_s(status: int, control: CacheControl, fields: ResponseFields, rules: FreshnessRules) -> int:
    """What the operator says of this status; else, unless nothing is to be remembered, what a date lets guess."""
    named_s = rules.negative_ttls.of(status)
    if named_s is not None:
        return named_s
    guessable = control.public or status in _HEURISTICALLY_CACHEABLE
    guessed_s = _guessed_s(fields, rules) if guessable and rules.negative_ttls.seconds else None
    return guessed_s or 0


def unsaid_lifetime_s(fields: ResponseFields, rules: FreshnessRules) -> int:
    """Return for how long an answer that says nothing of it is fresh here, at most."""
    if fields.status < HTTPStatus.MULTIPLE_CHOICES and fields.status != HTTPStatus.NO_CONTENT:
        return _bounded_s(_heuristic_s(fields, rules), rules)
    return _unsaid_refusal_s(fields.status, _applicable(fields.passed).control, fields, rules)


def may_be_transformed(passed: PassedOn) -> bool:
    """Whether the origin lets anyone make another file of its picture (RFC 9110 7.7)."""
    # A targeted field decides about caching alone (RFC 9213 2.2), so it does not hide this one.
    return not (parse_cache_control(passed.cache_control).no_transform or _applicable(passed).control.no_transform)


def dated(fields: ResponseFields) -> ResponseFields:
    """RFC 9110 6.6.1: an answer without a date, or with none that can be read, was made when it came."""
    if parse_http_date(fields.passed.date, now_s=fields.answered_s) is not None:
        return fields
    return replace(fields, passed=replace(fields.passed, date=http_date(fields.answered_s)))


def initial_age_s(fields: ResponseFields) -> float:
    """How old an answer is when it arrives (RFC 9111 4.2.3, corrected_initial_age)."""
    date_s = parse_http_date(fields.passed.date, now_s=fields.answered_s)
    apparent_age_s = 0.0 if date_s is None else max(0.0, fields.answered_s - date_s)
    # RFC 9111 5.1: of several values the first counts, and one that is no number is ignored.
    age_value_s = parse_delta_seconds(fields.age.partition(",")[0].strip()) or 0
    response_delay_s = fields.answered_s - fields.asked_s
    return max(apparent_age_s, age_value_s + response_delay_s)


def born_ms(fields: ResponseFields) -> int:
    """When the origin made the answer, as far as its Age and Date tell."""
    return round((fields.answered_s - initial_age_s(fields)) * 1000)


def age_s(*, born_ms: int, now_s: float) -> int:
    """The Age of a stored answer (RFC 9111 4.2.3, current_age): never negative, whatever the clocks say."""
    return max(0, int(now_s - born_ms / 1000))


def remaining_s(*, born_ms: int, lifetime_s: int, now_s: float) -> int:
    """How long an answer stays fresh; nothing left means stale (RFC 9111 4.2)."""
    # In the whole seconds of Age: cut off after the subtraction, the last second would never count.
    return lifetime_s - age_s(born_ms=born_ms, now_s=now_s)


def explicit_lifetime_s(applicable: Applicable, fields: ResponseFields) -> int | None:
    """RFC 9111 4.2.1, in its order."""
    control = applicable.control
    if control.s_maxage_s is not None:  # RFC 9111 5.2.2.10: for shared caches it overrides max-age
        return control.s_maxage_s
    if control.max_age_s is not None:  # RFC 9111 5.3: and this overrides Expires
        return control.max_age_s
    if applicable.targeted or not fields.passed.expires:  # RFC 9213 2.2: a targeted field hides Expires
        return None
    expires_s = parse_http_date(fields.passed.expires, now_s=fields.answered_s)
    if expires_s is None:  # RFC 9111 5.3: an invalid date, "0" above all, lies in the past
        return 0
    date_s = parse_http_date(fields.passed.date, now_s=fields.answered_s)
    return max(0, expires_s - int(fields.answered_s if date_s is None else date_s))


def is_forbidden(control: CacheControl, status: int) -> bool:
    """RFC 9111 5.2.2.5, and 5.2.2.3: beside must-understand it is for those alone who do not know the status."""
    return status not in _UNDERSTOOD if control.must_understand else control.no_store


def _applicable(passed: PassedOn) -> Applicable:
    targeted = parse_targeted(passed.cdn_cache_control)
    if targeted is not None:
        return Applicable(targeted, targeted=True)
    return Applicable(parse_cache_control(passed.cache_control), targeted=False)


def _obstacle(applicable: Applicable, fields: ResponseFields, rules: FreshnessRules) -> Reason | None:
    control, passed = applicable.control, fields.passed
    for obstacle, applies in (
        (Reason.NO_STORE, is_forbidden(control, fields.status)),
        (Reason.PRIVATE, control.private),  # RFC 9111 5.2.2.7
        (Reason.NO_TRANSFORM, not may_be_transformed(passed)),  # what this edge stores is another picture
        # RFC 9110 15.1: other words of success count for later requests only where the origin says so.
        (
            Reason.STATUS,
            fields.status not in _PLAIN and not control.public and explicit_lifetime_s(applicable, fields) is None,
        ),
        (Reason.VARY, not rules.forward.covers(passed.vary)),  # RFC 9111 4.1
    ):
        if applies:
            return obstacle
    return None


def _can_be_validated(fields: ResponseFields) -> bool:
    """RFC 9111 4.3.1."""
    return bool(fields.etag or parse_http_date(fields.passed.last_modified, now_s=fields.answered_s))


def _allowance_s(control: CacheControl, explicit_s: int | None, default_s: int) -> int:
    """How long it may be used once it is stale."""
    if control.no_cache or control.must_revalidate or control.proxy_revalidate:  # RFC 9111 4.2.4
        return 0
    if explicit_s is not None:
        return explicit_s
    # RFC 9111 5.2.2.10: s-maxage says proxy-revalidate too, to whom nothing more explicit was said (RFC 5861).
    return 0 if control.s_maxage_s is not None else default_s


def _lifetime_s(applicable: Applicable, fields: ResponseFields, rules: FreshnessRules, draw: float) -> int:
    explicit_s = explicit_lifetime_s(applicable, fields)
    if explicit_s is not None:
        return _bounded_s(explicit_s, rules)
    # What was filled together is not to become stale together; what the origin said is never shortened.
    ours_s = _bounded_s(_heuristic_s(fields, rules), rules)
    return max(int(ours_s * (1 - rules.ttl_jitter * draw)), min(ours_s, rules.min_ttl_s))


def _bounded_s(lifetime_s: int, rules: FreshnessRules) -> int:
    return min(max(lifetime_s, rules.min_ttl_s), rules.max_ttl_s or LONGEST_S, LONGEST_S)


def _heuristic_s(fields: ResponseFields, rules: FreshnessRules) -> int:
    guessed_s = _guessed_s(fields, rules)
    return rules.default_ttl_s if guessed_s is None else guessed_s


def _guessed_s(fields: ResponseFields, rules: FreshnessRules) -> int | None:
    """RFC 9111 4.2.2: what has not changed for long will not change soon, where that may be guessed."""
    modified_s = parse_http_date(fields.passed.last_modified, now_s=fields.answered_s)
    date_s = parse_http_date(fields.passed.date, now_s=fields.answered_s)
    made_s = fields.answered_s if date_s is None else date_s
    if not rules.heuristic_fraction or modified_s is None or modified_s > made_s:
        return None
    return int(rules.heuristic_fraction * (made_s - modified_s))
