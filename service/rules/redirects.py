"""Limit the freshness of a picture by the redirects that led to it. No I/O, no clock.

The strictest directives of the whole chain apply, because a stale redirect may point to another picture, even while the
picture itself is fresh (RFC 9111 4.2). A redirect without a lifetime counts as follows:
    301, 308         no limit, because they are permanent (RFC 9110 15.4.2, 15.4.9)
    302, 303, 307    stale at once, unless they are `public` (RFC 9111 4.2.2 allows no heuristic lifetime)
If a redirect is stale at once, each request repeats the fetch. The picture is still stored if it has an entity tag.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from service.rules import freshness, response_age
from service.rules.cache_control import CacheControl, parse_cache_control, parse_cdn_cache_control, write_cache_control
from service.rules.freshness import Applicable, FreshnessRules
from service.rules.response_fields import ResponseFields
from service.rules.vary import selecting_names

_PERMANENT = {301, 308}
_MARK = ">"  # the first character of a stored entity tag with a target; no valid tag begins with it (RFC 9110 8.8.3)
_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response of the redirect chain, with its Cache-Control (`plain`) and the directives for this edge."""

    fields: ResponseFields
    plain: Applicable
    applicable: Applicable


@dataclass(frozen=True, slots=True)
class _Lifetimes:
    """Freshness lifetimes in shared and in private caches, in seconds; None means no limit."""

    shared_s: int | None
    private_s: int | None


def apply_redirects(fields: ResponseFields, rules: FreshnessRules) -> ResponseFields:
    """Return the fields of the final response, with its freshness limited by the redirects that led to it."""
    if not fields.redirects:
        return fields
    for redirect in reversed(fields.redirects):
        fields = _apply_redirect(fields, redirect, rules)
    # Last-Modified is dropped, because the redirect may later lead to another picture with an earlier date, which a
    # revalidation by date would not notice (RFC 9110 8.8.2).
    return replace(fields, redirects=(), passed=replace(fields.passed, last_modified=""))


def tag_of_target(etag: str, target: str) -> str:
    """Return the entity tag to store: after a redirect, it is prefixed with a hash of the target that sent it.

    `target` is the URL's path and query; "" if there was no redirect.
    """
    if etag.startswith(_MARK):  # an invalid entity tag of the origin, which would be parsed as one with a target
        return ""
    return f"{_MARK}{_digest(target)} {etag}" if etag and target else etag


def tag_for_target(stored: str, target: str) -> str:
    """Return the entity tag for If-None-Match: the stored one if the same target sent it, else ""."""
    digest, _, etag = stored.removeprefix(_MARK).partition(" ")
    if not stored.startswith(_MARK):
        return "" if target else stored
    return etag if target and digest == _digest(target) else ""


def tag_for_clients(stored: str) -> str:
    """Return the stored entity tag for clients; "" if it came after a redirect, whose target may change."""
    return "" if stored.startswith(_MARK) else stored


def _digest(target: str) -> str:
    return hashlib.blake2b(target.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _apply_redirect(fields: ResponseFields, redirect: ResponseFields, rules: FreshnessRules) -> ResponseFields:
    here, there = _read(redirect), _read(fields)
    passed = replace(fields.passed, vary=_merge_vary(redirect.passed.vary, fields.passed.vary))
    plain = _merge_directives(here, here.plain, there, there.plain, rules)
    if plain != _with_expires(there):
        # The new max-age includes the lifetime of Expires and would override it (RFC 9111 5.3), so Expires is dropped.
        passed = replace(passed, cache_control=write_cache_control(plain), expires="")
    if here.applicable.targeted or there.applicable.targeted:
        targeted = _merge_directives(here, here.applicable, there, there.applicable, rules)
        passed = replace(passed, cdn_cache_control=write_cache_control(targeted))
    tags = tuple(dict.fromkeys([*redirect.tags, *fields.tags]))
    return replace(fields, passed=passed, tags=tags)


def _read(fields: ResponseFields) -> _Answer:
    plain = Applicable(parse_cache_control(fields.passed.cache_control), targeted=False)
    targeted = parse_cdn_cache_control(fields.passed.cdn_cache_control)
    return _Answer(fields, plain, plain if targeted is None else Applicable(targeted, targeted=True))


def _merge_directives(
    here: _Answer, redirect: Applicable, there: _Answer, answer: Applicable, rules: FreshnessRules
) -> CacheControl:
    limit, own = _limit(here.fields, redirect, there.fields), _lifetimes(answer, there.fields)
    implicit_s = freshness.implicit_lifetime_s(there.fields, rules)
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
        stale_while_revalidate_s=_min_s(one.stale_while_revalidate_s, other.stale_while_revalidate_s),
        stale_if_error_s=_min_s(one.stale_if_error_s, other.stale_if_error_s),
    )
    shared_s = _limit_s(limit.shared_s, own.shared_s, implicit_s)
    private_s = _limit_s(limit.private_s, own.private_s, implicit_s)
    if (shared_s, private_s) == (own.shared_s, own.private_s):
        return directives
    return replace(directives, max_age_s=private_s, s_maxage_s=None if shared_s == private_s else shared_s)


def _limit(redirect: ResponseFields, applicable: Applicable, answer: ResponseFields) -> _Lifetimes:
    """Return for how long a redirect stays fresh, as lifetimes that start when the origin generated `answer`."""
    said = _lifetimes(applicable, redirect)
    age_s = response_age.initial_age_s(redirect) + answer.answered_s - redirect.answered_s
    younger_s = response_age.initial_age_s(answer) - age_s
    if said.shared_s is None and not (redirect.status in _PERMANENT or applicable.control.public):
        said = _Lifetimes(0, 0)
    return _Lifetimes(_shift_s(said.shared_s, younger_s), _shift_s(said.private_s, younger_s))


def _shift_s(said_s: int | None, younger_s: float) -> int | None:
    # A lifetime of 0 stays 0: a client that computes no age from Date (RFC 9111 4.2.3) must not treat the response
    # as fresh.
    return max(0, int(said_s + younger_s)) if said_s else said_s


def _with_expires(said: _Answer) -> CacheControl:
    """Return the Cache-Control directives. If they have no max-age, it is computed from Expires."""
    return replace(said.plain.control, max_age_s=_lifetimes(said.plain, said.fields).private_s)


def _lifetimes(applicable: Applicable, fields: ResponseFields) -> _Lifetimes:
    unshared = replace(applicable, control=replace(applicable.control, s_maxage_s=None))
    return _Lifetimes(
        freshness.explicit_lifetime_s(applicable, fields), freshness.explicit_lifetime_s(unshared, fields)
    )


def _limit_s(limit_s: int | None, own_s: int | None, implicit_s: int) -> int | None:
    """Return the smaller of `limit_s` (None: no limit) and `own_s`, the response's explicit lifetime (None: none).

    Return None if the response needs no explicit lifetime, because its `implicit_s` is within the limit.
    """
    if limit_s is None or limit_s >= (implicit_s if own_s is None else own_s):
        return own_s
    return limit_s


def _min_s(one_s: int | None, other_s: int | None) -> int | None:
    return other_s if one_s is None else one_s if other_s is None else min(one_s, other_s)


def _merge_vary(one: str, other: str) -> str:
    """Return a Vary field with the names of both fields, without duplicates."""
    said = selecting_names(other)
    missing = [name for name in selecting_names(one) if name not in said]
    return ", ".join([*([other] if other else []), *missing])
