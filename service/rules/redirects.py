"""What a picture behind redirects is told to be: the strictest of all answers on the way. No I/O, no clock.

RFC 9111 4.2: an alias may point elsewhere once its redirect is stale, however long the picture itself is fresh.
    301, 308    without freshness information limit nothing: they are for good (RFC 9110 15.4.2, 15.4.9)
    302, 303, 307    without it are stale at once, as RFC 9111 4.2.2 allows no guess for them, unless they say `public`
An alias that is stale at once is asked for again each time; its picture is still stored if it has an entity tag.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from service.rules import freshness
from service.rules.cache_control import CacheControl, parse_cache_control, parse_targeted, write_cache_control
from service.rules.freshness import Applicable, FreshnessRules
from service.rules.response_fields import ResponseFields
from service.rules.vary import selecting_names

_FOR_GOOD = {301, 308}
_MARK = ">"  # no entity tag begins with it (RFC 9110 8.8.3)
_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Said:
    """What one answer says of caching: to everybody, and to this edge."""

    fields: ResponseFields
    plain: Applicable
    applicable: Applicable


@dataclass(frozen=True, slots=True)
class _Lifetimes:
    """Freshness lifetimes in shared caches and in others, None where nothing limits them."""

    shared_s: int | None
    private_s: int | None


def settled(fields: ResponseFields, rules: FreshnessRules) -> ResponseFields:
    """Return the fields of an answer as its redirects limit them."""
    if not fields.redirects:
        return fields
    for redirect in reversed(fields.redirects):
        fields = _limited(fields, redirect, rules)
    # A date of one target says nothing of another (RFC 9110 8.8.2): the next one may be older.
    return replace(fields, redirects=(), passed=replace(fields.passed, last_modified=""))


def tag_of_target(etag: str, target: str) -> str:
    """Return an entity tag as it is stored: with the target of which it is, if a redirect has led there."""
    if etag.startswith(_MARK):  # invalid as an entity tag, and would be taken for one of these
        return ""
    return f"{_MARK}{_digest(target)} {etag}" if etag and target else etag


def tag_for_target(stored: str, target: str) -> str:
    """Return the entity tag that a target may be asked about, if it is of this target (RFC 9110 8.8.3)."""
    digest, _, etag = stored.removeprefix(_MARK).partition(" ")
    if not stored.startswith(_MARK):
        return "" if target else stored
    return etag if target and digest == _digest(target) else ""


def tag_for_clients(stored: str) -> str:
    """Return the entity tag that clients may be told: none of a target that may not be the same next time."""
    return "" if stored.startswith(_MARK) else stored


def _digest(target: str) -> str:
    return hashlib.blake2b(target.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _limited(fields: ResponseFields, redirect: ResponseFields, rules: FreshnessRules) -> ResponseFields:
    here, there = _said(redirect), _said(fields)
    passed = replace(fields.passed, vary=_both(redirect.passed.vary, fields.passed.vary))
    plain = _strictest(here, here.plain, there, there.plain, rules)
    if plain != _spelled_out(there):
        # What Expires has said is said by max-age now, which overrides it (RFC 9111 5.3).
        passed = replace(passed, cache_control=write_cache_control(plain), expires="")
    if here.applicable.targeted or there.applicable.targeted:
        targeted = _strictest(here, here.applicable, there, there.applicable, rules)
        passed = replace(passed, cdn_cache_control=write_cache_control(targeted))
    tags = tuple(dict.fromkeys([*redirect.tags, *fields.tags]))
    return replace(fields, passed=passed, tags=tags)


def _said(fields: ResponseFields) -> _Said:
    plain = Applicable(parse_cache_control(fields.passed.cache_control), targeted=False)
    targeted = parse_targeted(fields.passed.cdn_cache_control)
    return _Said(fields, plain, plain if targeted is None else Applicable(targeted, targeted=True))


def _strictest(
    here: _Said, redirect: Applicable, there: _Said, answer: Applicable, rules: FreshnessRules
) -> CacheControl:
    limit, own = _limit(here.fields, redirect, there.fields), _lifetimes(answer, there.fields)
    unsaid_s = freshness.unsaid_lifetime_s(there.fields, rules)
    one, other = redirect.control, answer.control
    forbidden = freshness.is_forbidden(one, here.fields.status)
    directives = replace(
        other,
        max_age_s=own.private_s,
        no_store=other.no_store or forbidden,
        must_understand=other.must_understand and not forbidden,
        no_cache=other.no_cache or one.no_cache,
        private=other.private or one.private,
        must_revalidate=other.must_revalidate or one.must_revalidate,
        proxy_revalidate=other.proxy_revalidate or one.proxy_revalidate,
        stale_while_revalidate_s=_least(one.stale_while_revalidate_s, other.stale_while_revalidate_s),
        stale_if_error_s=_least(one.stale_if_error_s, other.stale_if_error_s),
    )
    shared_s = _shorter(limit.shared_s, own.shared_s, unsaid_s)
    private_s = _shorter(limit.private_s, own.private_s, unsaid_s)
    if (shared_s, private_s) == (own.shared_s, own.private_s):
        return directives
    return replace(directives, max_age_s=private_s, s_maxage_s=None if shared_s == private_s else shared_s)


def _limit(redirect: ResponseFields, applicable: Applicable, answer: ResponseFields) -> _Lifetimes:
    """Return what is left of a redirect's lifetime, as lifetimes of the answer: counted from when that was made."""
    said = _lifetimes(applicable, redirect)
    age_s = freshness.initial_age_s(redirect) + answer.answered_s - redirect.answered_s
    younger_s = freshness.initial_age_s(answer) - age_s
    if said.shared_s is None and not (redirect.status in _FOR_GOOD or applicable.control.public):
        said = _Lifetimes(0, 0)
    return _Lifetimes(_left(said.shared_s, younger_s), _left(said.private_s, younger_s))


def _left(said_s: int | None, younger_s: float) -> int | None:
    # 0 stays 0: a client that takes no age from Date (RFC 9111 4.2.3) is not to find it fresh.
    return max(0, int(said_s + younger_s)) if said_s else said_s


def _spelled_out(said: _Said) -> CacheControl:
    """Return the plain directives with the lifetime that Expires may say in their place."""
    return replace(said.plain.control, max_age_s=_lifetimes(said.plain, said.fields).private_s)


def _lifetimes(applicable: Applicable, fields: ResponseFields) -> _Lifetimes:
    unshared = replace(applicable, control=replace(applicable.control, s_maxage_s=None))
    return _Lifetimes(
        freshness.explicit_lifetime_s(applicable, fields), freshness.explicit_lifetime_s(unshared, fields)
    )


def _shorter(limit_s: int | None, own_s: int | None, unsaid_s: int) -> int | None:
    """Return the lifetime that a limit leaves; None stays where the answer says nothing and lives shorter anyway."""
    if limit_s is None or limit_s >= (unsaid_s if own_s is None else own_s):
        return own_s
    return limit_s


def _least(one_s: int | None, other_s: int | None) -> int | None:
    return other_s if one_s is None else one_s if other_s is None else min(one_s, other_s)


def _both(one: str, other: str) -> str:
    """Return a Vary of both: a name that is in both stands there once."""
    said = selecting_names(other)
    missing = [name for name in selecting_names(one) if name not in said]
    return ", ".join([*([other] if other else []), *missing])
