"""The results of a fill, one class for each. Values only.

StoredMeanwhile   another fill has stored a record
NewRecord         a picture was fetched and encoded
Renewed           the origin confirmed the stale record
StaleInstead      the origin failed, or has not answered yet, and the stale record is served
Preview           a picture was fetched, and is encoded in the background
Reused            a preview served to a later request
Unstored          a picture was fetched and is not encoded
Failed            the fill raised an error
"""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import EdgeError, OriginBroken, SourceError, UnusableLatent
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.demoted import is_demoted
from service.records.grant import Grant
from service.records.record import Record
from service.rules import response_age
from service.rules.origin_refused import OriginRefused
from service.rules.vary import Fields, selecting_names, selection, selects_alike
from service.upstream.source import Latent, Source


@dataclass(frozen=True, slots=True)
class FillFacts:
    """The facts that every result of a fill carries."""

    timings: Timings
    fields: Fields
    """The header fields of the request that started the fill."""
    forwarded: Reason
    """Why the request was forwarded to the origin or the parent."""
    origin_status: int | None = None
    """The status with which the origin answered a validation; None without a validation."""
    in_background: bool = False
    """Whether requests were answered before with a preview or a stale record. `timings` then measures only the rest."""


@dataclass(frozen=True, slots=True)
class StoredMeanwhile:
    """Another fill has stored a usable record since the lookup."""

    facts: FillFacts
    record: Record
    waited: bool
    """Whether this process waited for a fill of another process."""


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A picture that was fetched and encoded."""

    facts: FillFacts
    record: Record
    delivered: Source | Latent
    stored_at: bytes = b""
    """The key in the store; empty if the record was not stored."""
    fenced: bool = False
    """Whether the record was not stored because of a purge or another fill after the start of this fill."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """The stale record with new dates: the origin still has the same picture."""

    facts: FillFacts
    record: Record
    stored_at: bytes = b""
    fenced: bool = False


@dataclass(frozen=True, slots=True)
class StaleInstead:
    """The stale record, served instead of an error of the origin, or while the origin takes long (RFC 5861 4)."""

    facts: FillFacts
    record: Record


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture served from the source's pixels while its encode runs in the background."""

    facts: FillFacts
    source: Source
    grant: Grant | None
    """The permission with which the fill will store the record."""

    @property
    def born_ms(self) -> int:
        """The Unix time in milliseconds from which the picture's age counts."""
        return response_age.born_ms(self.source.fields)

    @property
    def lifetime_s(self) -> int:
        """The freshness lifetime of the picture in seconds."""
        return self.source.storage.lifetime_s

    @property
    def stale_while_revalidate_s(self) -> int:
        """The seconds after `lifetime_s` in which the picture may be served while it is validated (RFC 5861 3)."""
        return self.source.storage.stale_while_revalidate_s

    @property
    def stale_if_error_s(self) -> int:
        """The seconds after `lifetime_s` in which the picture may be served instead of an error (RFC 5861 4)."""
        return self.source.storage.stale_if_error_s


@dataclass(frozen=True, slots=True)
class Reused:
    """A preview that answers a later request as a stored response would, fresh or stale (RFC 9111 4)."""

    facts: FillFacts
    preview: Preview
    why_stale: Reason | None = None
    """Why the preview may be served although it is stale (RFC 5861); None if it is fresh."""


@dataclass(frozen=True, slots=True)
class Unstored:
    """A fetched picture for which no record was made; requests are answered from the source's pixels."""

    facts: FillFacts
    source: Source
    why: Reason
    fenced: bool = False

    @property
    def is_for_one_client(self) -> bool:
        """Whether the response may not be stored, so that each request must fetch for itself (RFC 9111 5.2.2)."""
        return self.source.storage.obstacle is not None


@dataclass(frozen=True, slots=True)
class Failed:
    """The error that a fill raised."""

    facts: FillFacts
    error: EdgeError


WithRecord = StoredMeanwhile | NewRecord | Renewed | StaleInstead
FillResult = WithRecord | Preview | Reused | Unstored | Failed


def may_be_shared(result: FillResult) -> bool:
    """Return whether collapsed requests may share this result.

    RFC 9111 4: they may share an error response of the origin if it could be stored and is fresh. They may always share
    an error without a response, such as a timeout, and an error of an overloaded edge. Any other error may have been
    caused by the fields of the one request.
    """
    match result:
        case Failed(error=OriginRefused() | SourceError() as error):
            return error.is_reusable
        case Failed(error=error):
            return not isinstance(error, OriginBroken | UnusableLatent)
        case _:
            return True


def holds_demoted(result: FillResult) -> bool:
    """Return whether the result is a demoted record, which is no answer for a child edge."""
    return isinstance(result, WithRecord) and is_demoted(result.record)


def answers(result: FillResult, fields: Fields) -> bool:
    """Return whether a request with these header fields selects this result by its Vary field (RFC 9111 4.1)."""
    if isinstance(result, Unstored) and result.is_for_one_client:
        return True  # no request needs another variant's fill, because each will fetch for itself
    return selects_alike(_vary(result), result.facts.fields, fields)


def variant(result: FillResult, fields: Fields) -> bytes:
    """Return the key of the variant that a request with these header fields selects, by this result's Vary field."""
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
