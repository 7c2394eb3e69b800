"""What the origin says in the header of an answer, as text. Plain values; nothing is judged here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from http import HTTPStatus

from service.rules.error_fields import NO_ERROR_FIELDS, ErrorFields


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOn:
    """What every client is told as the origin said it; empty where the origin said nothing."""

    cache_control: str = ""
    cdn_cache_control: str = ""
    expires: str = ""
    date: str = ""
    last_modified: str = ""
    vary: str = ""


NOTHING = PassedOn()
PASSED_ON = tuple(field.name for field in fields(PassedOn))
"""In the order in which a record holds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFields:
    """All of it, and when the answer was asked for and came, in seconds since the epoch."""

    asked_s: float
    answered_s: float
    status: int = HTTPStatus.OK
    """201, say, for a picture that comes with another word than 200."""
    passed: PassedOn = NOTHING
    age: str = ""
    etag: str = ""
    tags: tuple[str, ...] = ()
    """Told to no client."""
    is_stale: bool = False
    """A parent knows it, whatever the dates say."""
    redirects: tuple[ResponseFields, ...] = ()
    """The answers that have led to this one, which limit it (see `redirects`)."""
    error_fields: ErrorFields = NO_ERROR_FIELDS
    """Of an answer that is no picture."""
    cache_status: str = ""
    """What the caches on the way say of the answer (RFC 9211)."""
