"""The state of one fill under one lease, before it asks the origin. Values only, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TypeVar

from service.cache.fill_result import FillFacts, NewRecord, Preview, Renewed
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.demoted import is_demoted
from service.records.grant import Found, Grant
from service.records.lease import Lease, Standing
from service.records.lookup import Lookup
from service.records.record import Record
from service.upstream.source import Terms

Show = Callable[[Preview], None]
Stored = TypeVar("Stored", NewRecord, Renewed)


@dataclass(frozen=True, slots=True)
class Unfit:
    """Tells which records a fill must not use, although they are fresh."""

    damaged: Record | None = None
    """A record whose bitstream cannot be decoded."""
    demoted: bool = False
    """Whether the high latent is needed, so that no demoted record will do."""

    def why(self, record: Record) -> Reason | None:
        """Return why the fill must not use this record; None if it may."""
        if self.damaged is not None and record.bitstream == self.damaged.bitstream:
            return Reason.DAMAGED_RECORD
        return Reason.DEMOTED if self.demoted and is_demoted(record) else None


@dataclass(frozen=True, slots=True)
class Work:
    """The state of a fill before it asks the origin."""

    lookup: Lookup
    terms: Terms
    lease: Lease
    show: Show | None
    """Called with a preview for the waiting requests; None if they wait for the latent."""
    known: Found | None = None
    """The stale record that the fill validates, or None."""
    demoted: Found | None = None
    """The demoted record that the fill replaces without validating it, because a high latent is needed; or None."""
    forwarded: Reason = Reason.URI_MISS
    """Why the request is forwarded to the origin or the parent."""
    generation: int = 0
    """The number of the latest purge before the request to the origin."""
    grant: Grant | None = None
    """The permission to store the record; None if nothing may be stored."""
    timings: Timings = field(default_factory=Timings)

    @property
    def is_beside(self) -> bool:
        """Whether another release's record stays in the store; the new one is kept in this process, without a lease."""
        return self.grant is not None and self.grant.token is None

    @property
    def is_in_place(self) -> bool:
        """Whether the lease is for the key of `lookup`, or the store does not answer.

        The key of the lookup changes when the origin begins to send Vary, so that another lease is needed.
        """
        return self.lease.standing is Standing.UNKNOWN or self.lease.token.lease == self.lookup.lease

    @property
    def replaced(self) -> Found | None:
        """The record that the answer of the origin replaces, or None."""
        return self.known or self.demoted

    def begin(self, found: Found | Reason, *, generation: int, beside: bytes) -> Work:
        """Return the state after the lookup under the lease, with the permission to store the new record (`grant`).

        `beside` is another release's record, which stays in the store; empty for none.
        """
        known, forwarded = (None, found) if isinstance(found, Reason) else (found, Reason.STALE)
        token = None if beside else self.lease.writes
        grant = None if token is None and not beside else Grant(token, self.lookup, generation, beside)
        return replace(self, known=known, forwarded=forwarded, generation=generation, grant=grant)

    @property
    def facts(self) -> FillFacts:
        """The facts that every result of this fill carries."""
        origin_status = None if self.known is None else HTTPStatus.OK
        return FillFacts(self.timings, self.terms.fields, self.forwarded, origin_status)

    def attach_key(self, end: Stored, lookup: Lookup | None) -> Stored:
        """Return the result with the key of its stored record.

        `lookup` is None if a purge or another fill prevented the write; the result is then marked as `fenced`.
        """
        if lookup is None:
            return replace(end, fenced=self.grant is not None)
        return end if self.is_beside else replace(end, stored_at=lookup.key)
