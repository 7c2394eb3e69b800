"""How a fill ends: one class for each end. Values only.

StoredMeanwhile   another fill had stored a record
NewRecord         a picture was fetched and is a latent now
Renewed           the origin confirmed the stale record
StaleInstead      the origin failed, and the stale record is shown
Preview           a picture was fetched; the fill goes on and encodes it
Reused            a preview that was shown before
Unstored          a picture was fetched and is not encoded
Failed            an error
"""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import EdgeError, OriginBroken, SourceError, UnusableLatent
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.record import Record
from service.records.record_store import Grant
from service.rules import freshness
from service.rules.origin_refused import OriginRefused
from service.rules.vary import Fields, selecting_names, selection, selects_alike
from service.upstream.source import Latent, Source


@dataclass(frozen=True, slots=True)
class FillFacts:
    """What is known of every fill."""

    timings: Timings
    fields: Fields
    """The header fields of the request that the fill answers."""
    forwarded: Reason
    """Why the origin was asked."""
    origin_status: int | None = None
    """What the origin answered to a validation."""
    in_background: bool = False
    """Whether a preview was shown before. The timings then are of the encode alone."""


@dataclass(frozen=True, slots=True)
class StoredMeanwhile:
    """Another fill has stored a usable record since the lookup."""

    facts: FillFacts
    record: Record
    waited: bool
    """Whether this process waited for a fill of another process."""


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A new picture."""

    facts: FillFacts
    record: Record
    delivered: Source | Latent
    stored_at: bytes = b""
    """The key in the store; empty where the record was not stored."""
    fenced: bool = False
    """Whether a purge or another fill came in between, so that the record was not stored."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """The stale record under new dates: the origin has still the same picture."""

    facts: FillFacts
    record: Record
    stored_at: bytes = b""
    fenced: bool = False


@dataclass(frozen=True, slots=True)
class StaleInstead:
    """The stale record in place of an error of the origin (RFC 5861 4)."""

    facts: FillFacts
    record: Record


@dataclass(frozen=True, slots=True)
class Preview:
    """The source's pixels, shown while the fill goes on."""

    facts: FillFacts
    source: Source
    grant: Grant | None
    """What the fill will store under."""

    @property
    def born_ms(self) -> int:
        """See `service.records.staleness.Dated`."""
        return freshness.born_ms(self.source.fields)

    @property
    def lifetime_s(self) -> int:
        """Likewise."""
        return self.source.storage.lifetime_s

    @property
    def stale_while_revalidate_s(self) -> int:
        """Likewise."""
        return self.source.storage.stale_while_revalidate_s

    @property
    def stale_if_error_s(self) -> int:
        """Likewise."""
        return self.source.storage.stale_if_error_s


@dataclass(frozen=True, slots=True)
class Reused:
    """A preview for a request that came after the origin's answer: nothing was asked for it (RFC 9111 4)."""

    facts: FillFacts
    preview: Preview
    why_stale: Reason | None = None
    """Why it may be shown although it is stale (RFC 5861); None for a fresh one."""


@dataclass(frozen=True, slots=True)
class Unstored:
    """The source's pixels; there is no record."""

    facts: FillFacts
    source: Source
    why: Reason
    fenced: bool = False

    @property
    def is_for_one_client(self) -> bool:
        """Whether the origin forbids to store the answer, so that each request needs its own (RFC 9111 5.2.2)."""
        return self.source.storage.obstacle is not None


@dataclass(frozen=True, slots=True)
class Failed:
    """An error."""

    facts: FillFacts
    error: EdgeError


WithRecord = StoredMeanwhile | NewRecord | Renewed | StaleInstead
FillResult = WithRecord | Preview | Reused | Unstored | Failed


def may_be_shared(result: FillResult) -> bool:
    """Return whether requests that waited may get this answer too: not an error that another's request may have caused.

    RFC 9111 4: an answer of the origin may, if it could be stored and is fresh. An error which says that there was no
    answer, or that this edge has too much to do, may in any case.
    """
    match result:
        case Failed(error=OriginRefused() | SourceError() as error):
            return error.is_reusable
        case Failed(error=error):
            return not isinstance(error, OriginBroken | UnusableLatent)
        case _:
            return True


def answers(result: FillResult, fields: Fields) -> bool:
    """Return whether this is the answer to a request with these fields too (RFC 9111 4.1)."""
    if isinstance(result, Unstored) and result.is_for_one_client:
        return True  # each request fetches for itself anyway
    return selects_alike(_vary(result), result.facts.fields, fields)


def variant(result: FillResult, fields: Fields) -> bytes:
    """Return what tells a request with these fields from others, by the Vary field of this answer."""
    return selection(selecting_names(_vary(result)), fields)


def _vary(result: FillResult) -> str:
    match result:
        case Failed(error=OriginRefused() | SourceError() as error):
            return error.vary
        case Failed():
            return ""
        case Preview() | Unstored():
            return result.source.fields.passed.vary
        case Reused(preview=preview):
            return preview.source.fields.passed.vary
        case _:
            return result.record.passed.vary
