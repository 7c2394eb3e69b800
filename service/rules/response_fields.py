"""The header fields of an origin's answer, as text. Plain values; no rule is applied here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from http import HTTPStatus

from service.rules.error_fields import NO_ERROR_FIELDS, ErrorFields


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOn:
    """Field values that every client gets unchanged; an empty string means that the origin did not send the field."""

    cache_control: str = ""
    cdn_cache_control: str = ""
    expires: str = ""
    date: str = ""
    last_modified: str = ""
    vary: str = ""


NOTHING = PassedOn()
PASSED_ON = tuple(field.name for field in fields(PassedOn))
"""The names, in the order in which a record stores their values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFields:
    """All fields that the edge reads, and the times of request and answer in seconds since the epoch."""

    asked_s: float
    answered_s: float
    status: int = HTTPStatus.OK
    """Usually 200; an origin may also send a picture with 201, say."""
    passed: PassedOn = NOTHING
    age: str = ""
    etag: str = ""
    tags: tuple[str, ...] = ()
    """The cache tags, for purging. Clients never get them."""
    is_stale: bool = False
    """Whether a parent edge said that its answer is stale; this overrides the dates."""
    redirects: tuple[ResponseFields, ...] = ()
    """The redirects that led to this answer, first one first. They limit its lifetime (see redirects.py)."""
    error_fields: ErrorFields = NO_ERROR_FIELDS
    """The fields of an error that clients get."""
    cache_status: str = ""
    """The Cache-Status of the caches between the origin and this edge (RFC 9211)."""
