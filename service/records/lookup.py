"""Compute the store's key for a request: the key of the picture, or of one of its variants. No I/O.

    p:{picture}             a record, a negative cache entry, or the vary rule of the picture
    p:{picture}:variant     a record or a negative cache entry of one variant (a hash of the rule's nonce and fields)

A Redis Cluster chooses the node by the part in braces, so a rule, its variants and their leases are on the same node.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace

from service.reason import Reason
from service.records.store_keys import NAME_DIGEST_BYTES, lease_key
from service.records.vary_rule import VaryRule
from service.rules.vary import NO_FIELDS, Fields, selection


@dataclass(frozen=True, slots=True)
class Lookup:
    """The keys of one request's record and lease, and the vary rule on which they depend."""

    image_id: str
    home: bytes
    """The picture's key, which does not depend on the variant."""
    fields: Fields = NO_FIELDS
    """The request's header fields that are forwarded to the origin."""
    held: bytes | None = None
    """The string that the store held under `home`; None if it held none, b"" if the key was of another type."""
    rule: VaryRule | None = None
    """The vary rule of the picture; None if the picture does not vary, or is not stored."""
    purges: int = 0
    """How many purges by id this process had heard of before."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the request fields by which the picture varies; empty without a vary rule."""
        return () if self.rule is None else self.rule.names

    @property
    def key(self) -> bytes:
        """The key of the record: that of the picture, or of a variant if there is a vary rule."""
        return self.home if self.rule is None else self.home + b":" + self._variant(self.rule)

    @property
    def lease(self) -> bytes:
        """The key of the lease for filling this record. Each variant has its own lease."""
        return lease_key(self.key)

    @property
    def miss(self) -> Reason:
        """The reason in Cache-Status for forwarding the request if the key holds nothing (RFC 9211 2.2)."""
        return Reason.URI_MISS if self.rule is None else Reason.VARY_MISS

    def under(self, rule: VaryRule | None) -> Lookup:
        """Return a copy of this lookup with `rule` as its vary rule; None means that the picture does not vary."""
        return replace(self, rule=rule)

    def _variant(self, rule: VaryRule) -> bytes:
        digest = hashlib.blake2b(rule.nonce + selection(rule.names, self.fields), digest_size=NAME_DIGEST_BYTES)
        return urlsafe_b64encode(digest.digest()).rstrip(b"=")
