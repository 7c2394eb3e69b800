"""Decide under which vary rule a record or an error is stored, and which rule must be in the store then. No I/O."""

from __future__ import annotations

import secrets

from service.records.grant import Found
from service.records.lookup import Lookup
from service.records.negative_cache import Rememberable
from service.records.vary_rule import NONCE_BYTES, VaryRule, pack_rule
from service.rules.origin_refused import OriginRefused
from service.rules.vary import selecting_names
from service.store.latent_store import Beside


def lookup_for(lookup: Lookup, vary: str) -> Lookup:
    """Return the lookup of the same request for this Vary field. If the field has changed, it gets a new rule."""
    names = selecting_names(vary)
    if names == lookup.names:
        return lookup
    return lookup.under(VaryRule(names, secrets.token_bytes(NONCE_BYTES)) if names else None)


def says_gone(error: Rememberable, lookup: Lookup) -> bool:
    """Return whether the error says that the stored picture, or all its variants, are gone at the origin."""
    return isinstance(error, OriginRefused) and error.says_gone and selects_like_the_pictures(error, lookup)


def selects_like_the_pictures(error: Rememberable, lookup: Lookup) -> bool:
    """Return whether the error varies by no other fields than the stored pictures do."""
    return not lookup.names or selecting_names(error.vary) in {lookup.names, ()}


def expect_known(known: Found, lookup: Lookup) -> Beside | None:
    """Return the condition that the known record is still stored, or for a variant that its vary rule is."""
    if known.lookup.rule is not None:
        return expect_rule(known.lookup, lookup)
    return Beside(
        lookup.home, was=known.value, becomes=b"" if lookup.rule is None else pack_rule(lookup.rule, lookup.home)
    )


def expect_rule(found: Lookup, lookup: Lookup) -> Beside | None:
    """Return the check and the write of the vary rule that go with storing a record; None if there is no rule.

    The rule in the store must still be that of `found`, and it becomes that of `lookup`.
    """
    if found.rule is None and lookup.rule is None:
        return None
    was = b"" if found.rule is None or found.held is None else found.held
    if lookup.rule == found.rule:
        # An unchanged vary rule is not written again, so that an older release can still read the rule that it wrote.
        return Beside(lookup.home, was=was, becomes=was)
    return Beside(lookup.home, was=was, becomes=b"" if lookup.rule is None else pack_rule(lookup.rule, lookup.home))
