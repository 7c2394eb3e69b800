"""A fill as values: what it sets out with and what it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from service.errors import EdgeError, OriginBroken, SourceError, UnusableLatent
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.lease import Lease, Standing
from service.records.lookup import Lookup
from service.records.record import Record
from service.records.record_store import Found, Grant
from service.rules.origin_refused import OriginRefused
from service.rules.response_fields import NOTHING, PassedOn
from service.rules.vary import Fields, selecting_names, selection, selects_alike
from service.upstream.source import Latent, Source, Terms


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill came to: a record, found, confirmed or made, a source that may not be stored, or an error."""

    timings: Timings
    fields: Fields
    """Of the request that it answers."""
    record: Record | None = None
    found: bool = False
    """Another fill had stored it a moment ago."""
    waited: bool = False
    """For a fill of another process."""
    stored_at: bytes = b""
    """The key, if it was."""
    fenced: bool = False
    """Something else had come in between: a purge, or another fill."""
    grant: Grant | None = None
    """Under which it was, or is still to be stored."""
    source: Source | None = None
    """What was fetched, unless it was what the store has anyway."""
    latent: Latent | None = None
    """The same, where it came as a latent."""
    error: EdgeError | None = None
    forwarded: Reason = Reason.URI_MISS
    """Why the origin was asked. `STALE`: there was a record, and the origin was asked about it."""
    failed: bool = False
    """The origin gave nothing, and the stale record stands in."""
    origin_status: int | None = None
    behind: bool = False
    """Those who asked first were answered from the source; the timings are of what came after."""
    skipped: Reason | None = None
    """Why there is no record although there may be one."""

    @property
    def is_preview(self) -> bool:
        """Whether the fill goes on."""
        return self.record is None and self.source is not None and not (self.skipped or self.source.storage.obstacle)

    @property
    def may_be_shared(self) -> bool:
        """Whether those who waited may be told too: not of an error that another one's request may have caused.

        RFC 9111 4: of an origin's answer, if it could be stored and is fresh. What says that there was no answer, or
        that this edge has too much to do, is nobody's in particular.
        """
        if isinstance(self.error, OriginRefused):
            return self.error.is_reusable
        return not isinstance(self.error, OriginBroken | UnusableLatent | SourceError)

    def answers(self, fields: Fields) -> bool:
        """Whether it is for a request with these fields too (RFC 9111 4.1)."""
        return self._is_for_one_client or selects_alike(self._passed.vary, self.fields, fields)

    def variant(self, fields: Fields) -> bytes:
        """That of such a request, if the picture varies as it was told here."""
        return selection(selecting_names(self._passed.vary), fields)

    @property
    def _is_for_one_client(self) -> bool:
        """Then everybody else asks for himself anyway."""
        return self.record is None and self.source is not None and self.source.storage.obstacle is not None

    @property
    def _passed(self) -> PassedOn:
        if self.record is not None:
            return self.record.passed
        if self.source is not None:
            return self.source.fields.passed
        assert self.error is not None, "a fill brings something"
        return self.error.fields.passed if isinstance(self.error, OriginRefused) else NOTHING


Show = Callable[[Filled], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One fill under one lease."""

    lookup: Lookup
    terms: Terms
    lease: Lease
    show: Show | None
    known: Found | None = None
    """What the origin is to be asked about."""
    forwarded: Reason = Reason.URI_MISS
    """Why it is to be asked."""
    generation: int = 0
    grant: Grant | None = None
    """None where nothing may be kept."""
    timings: Timings = field(default_factory=Timings)

    @property
    def is_beside(self) -> bool:
        """Whether another release's record stays in the store, so that no lease is needed."""
        return self.grant is not None and self.grant.token is None

    @property
    def is_in_place(self) -> bool:
        """Whether the lease is that of where the record is to lie: the picture may have begun to vary meanwhile."""
        return self.lease.standing is Standing.UNKNOWN or self.lease.token.lease == self.lookup.lease

    def granted(self, found: Found | Reason, *, generation: int, beside: bytes) -> Work:
        """The same work with what was found, and with what may be written: under the lease, or beside a record."""
        known, forwarded = (None, found) if isinstance(found, Reason) else (found, Reason.STALE)
        token = None if beside else self.lease.writes
        grant = None if token is None and not beside else Grant(token, self.lookup, generation, beside)
        return replace(self, known=known, forwarded=forwarded, generation=generation, grant=grant)

    def brought(self, source: Source | None = None, latent: Latent | None = None) -> Filled:
        """A new picture."""
        return Filled(
            self.timings,
            self.terms.fields,
            grant=self.grant,
            source=source,
            latent=latent,
            forwarded=self.forwarded,
            origin_status=None if self.known is None else HTTPStatus.OK,
        )
