"""The parsed request that the cache answers, and the answer that the web layer turns into a response. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from service.metrics.outcomes import FileSource, Outcome
from service.reason import Reason
from service.records.record import Record
from service.rules.conditional import Conditions
from service.rules.negotiation import Wanted
from service.rules.response_fields import PassedOn
from service.upstream.source import ANY_TERMS, Terms


@dataclass(frozen=True, slots=True)
class Asked:
    """A parsed request for a picture, or for its latent."""

    wanted: Wanted
    conditions: Conditions
    head: bool
    terms: Terms = ANY_TERMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one request: a picture or latent, its header fields alone (HEAD), or 304 Not Modified."""

    outcome: Outcome
    media_type: str
    body: bytes | None
    passed: PassedOn
    source: FileSource = FileSource.ORIGIN
    record: Record | None = None
    """The record that the answer was made from; None if it was made from the origin's picture."""
    length_bytes: int | None = None
    """The length of the body, also if it is not sent (HEAD); None if no file was made, so that it is unknown."""
    age: str = ""
    """The value of the Age field, empty for none. A picture fetched for this request keeps the origin's Age."""
    status: int = HTTPStatus.OK
    forwarded: Reason | None = None
    """Why the request was forwarded to the origin or the parent (RFC 9211 2.2); None for a hit."""
    origin_status: int | None = None
    """The status with which the origin answered a validation; None without a validation."""
    collapsed: bool = False
    """Whether this request waited for another request's fetch (RFC 9211 2.6)."""
    not_modified: bool = False
    entity_tag: str = ""
    ttl_s: int | None = None
    """The remaining freshness lifetime in seconds, negative if stale; None for a picture fetched for this request."""
    stored: bool = False
    is_generated: bool = False
    """Whether the picture was generated from the medium latent of a demoted record."""
    detail: Reason | None = None
    """A more precise reason, such as why nothing was stored: the `detail` of Cache-Status."""
    latent_facts: str = ""
    """The value of the header field that describes the source file of a latent; empty for a picture."""
    tags: tuple[str, ...] = ()
    """The cache tags of the picture, sent only to a child edge that asked for its latent."""
