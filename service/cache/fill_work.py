"""One fill under one lease, as a value: what it knows before it asks the origin. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TypeVar

from service.cache.fill_result import FillFacts, NewRecord, Preview, Renewed
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.lease import Lease, Standing
from service.records.lookup import Lookup
from service.records.record_store import Found, Grant
from service.upstream.source import Terms

Show = Callable[[Preview], None]
Stored = TypeVar("Stored", NewRecord, Renewed)


@dataclass(frozen=True, slots=True)
class Work:
    """What a fill knows before it asks the origin."""

    lookup: Lookup
    terms: Terms
    lease: Lease
    show: Show | None
    """Shows the source's pixels to the waiting requests; None where they wait for the latent."""
    known: Found | None = None
    """The record that the origin is asked to confirm."""
    forwarded: Reason = Reason.URI_MISS
    """Why the origin is asked."""
    generation: int = 0
    """The latest purge before the origin is asked."""
    grant: Grant | None = None
    """The permission to store; None where nothing may be stored."""
    timings: Timings = field(default_factory=Timings)

    @property
    def is_beside(self) -> bool:
        """Whether another release's record stays in the store, so that no lease is needed."""
        return self.grant is not None and self.grant.token is None

    @property
    def is_in_place(self) -> bool:
        """Whether the lease is for the key of this lookup. It is not if the picture has begun to vary meanwhile."""
        return self.lease.standing is Standing.UNKNOWN or self.lease.token.lease == self.lookup.lease

    def begin(self, found: Found | Reason, *, generation: int, beside: bytes) -> Work:
        """Return this work with what was found, and with the permission to store under the lease or beside a record."""
        known, forwarded = (None, found) if isinstance(found, Reason) else (found, Reason.STALE)
        token = None if beside else self.lease.writes
        grant = None if token is None and not beside else Grant(token, self.lookup, generation, beside)
        return replace(self, known=known, forwarded=forwarded, generation=generation, grant=grant)

    @property
    def facts(self) -> FillFacts:
        """What every end of this fill tells."""
        origin_status = None if self.known is None else HTTPStatus.OK
        return FillFacts(self.timings, self.terms.fields, self.forwarded, origin_status)

    def mark_stored(self, end: Stored, lookup: Lookup | None) -> Stored:
        """Return this end with where its record was stored; without a lookup, something else came in between."""
        if lookup is None:
            return replace(end, fenced=self.grant is not None)
        return end if self.is_beside else replace(end, stored_at=lookup.key)
