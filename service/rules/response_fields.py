"""The header fields of an origin's response, as text. This file applies no rules to them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from http import HTTPStatus

from service.rules.error_fields import NO_ERROR_FIELDS, ErrorFields
from service.rules.pass_on import Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOn:
    """Field values that every client gets unchanged; an empty string means that the origin did not send the field."""

    cache_control: str = ""
    cdn_cache_control: str = ""
    expires: str = ""
    date: str = ""
    last_modified: str = ""
    vary: str = ""
    others: Lines = ()
    """The fields that EDGE_PASS_ON names; only a picture has them, not an error."""


NOTHING = PassedOn()
PASSED_ON = tuple(field.name for field in fields(PassedOn) if field.name != "others")
"""The names of the fields in PassedOn that every record has, in the order in which it stores their values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFields:
    """The header fields of a response that the edge reads, and when it was requested and received (epoch seconds)."""

    asked_s: float
    answered_s: float
    status: int = HTTPStatus.OK
    """The status of the response. For a picture it is usually 200, but another 2xx status is possible, such as 201."""
    passed: PassedOn = NOTHING
    age: str = ""
    etag: str = ""
    tags: tuple[str, ...] = ()
    """The cache tags, for purging. Clients never get them."""
    is_stale: bool = False
    """Whether a parent edge marked its response as stale. If so, its lifetime is 0, whatever its dates say."""
    redirects: tuple[ResponseFields, ...] = ()
    """The redirects that led to this response, in order. They limit its lifetime (see redirects.py)."""
    error_fields: ErrorFields = NO_ERROR_FIELDS
    """The fields of an error response that are passed on to clients."""
    cache_status: str = ""
    """The Cache-Status of the caches between the origin and this edge (RFC 9211)."""
