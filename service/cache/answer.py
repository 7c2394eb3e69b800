"""A question to the cache and its answer, as values: what the picture route asks and what the responses are made of."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from service.metrics.outcomes import Outcome
from service.reason import Reason
from service.rules.conditional import Conditions
from service.rules.negotiation import Wanted
from service.rules.response_fields import PassedOn
from service.upstream.source import ANY_TERMS, Terms


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a picture, or for its latent."""

    wanted: Wanted
    conditions: Conditions
    head: bool
    terms: Terms = ANY_TERMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A picture, its headers without it (HEAD), or the news that the client's copy is good (304)."""

    outcome: Outcome
    media_type: str
    body: bytes | None
    passed: PassedOn
    age: str = ""
    """The Age field. Where the answer comes straight from the origin, it is the origin's, as is the status."""
    status: int = HTTPStatus.OK
    forwarded: Reason | None = None
    """Why the origin was asked (RFC 9211 2.2); None for a hit."""
    origin_status: int | None = None
    """The status of the origin's answer to a validation; None where the origin was asked without one, or not at all."""
    collapsed: bool = False
    not_modified: bool = False
    entity_tag: str = ""
    ttl_s: int | None = None
    stored: bool = False
    detail: Reason | None = None
    """Why nothing was stored, or how the answer was made."""
    latent_facts: str = ""
    """The facts that a latent is served with."""
    tags: tuple[str, ...] = ()
    """The names under which the latent is purged."""
