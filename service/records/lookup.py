"""Where the record for a request lies: under its picture's key, or under that of a variant. No I/O.

    p:{picture}             a record, a negative cache entry, or the vary rule of the picture
    p:{picture}:variant     a record or a negative cache entry, where there is a rule, whose nonce is part of the name

A Redis Cluster chooses the machine by what stands in braces: a rule, its variants and their leases lie on the same one.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace

from service.reason import Reason
from service.records.record import DIGEST_BYTES, lease_key
from service.records.vary_rule import VaryRule
from service.rules.vary import NO_FIELDS, Fields, selection


@dataclass(frozen=True, slots=True)
class Lookup:
    """Where one request's record is stored."""

    image_id: str
    home: bytes
    """The picture's key."""
    fields: Fields = NO_FIELDS
    """The request's header fields that reach the origin."""
    held: bytes | None = None
    """The string that the store held under `home`."""
    rule: VaryRule | None = None
    """The vary rule in that string, if it is one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields by which the picture varies, as far as that is known."""
        return () if self.rule is None else self.rule.names

    @property
    def key(self) -> bytes:
        """The key of the record."""
        return self.home if self.rule is None else self.home + b":" + self._variant(self.rule)

    @property
    def lease(self) -> bytes:
        """The key of the lease under which it is filled. Each variant has its own."""
        return lease_key(self.key)

    @property
    def miss(self) -> Reason:
        """Why the origin is asked if the key holds nothing (RFC 9211 2.2)."""
        return Reason.URI_MISS if self.rule is None else Reason.VARY_MISS

    def under(self, rule: VaryRule | None) -> Lookup:
        """Return the same request's lookup under another rule."""
        return replace(self, rule=rule)

    def _variant(self, rule: VaryRule) -> bytes:
        digest = hashlib.blake2b(rule.nonce + selection(rule.names, self.fields), digest_size=DIGEST_BYTES)
        return urlsafe_b64encode(digest.digest()).rstrip(b"=")
