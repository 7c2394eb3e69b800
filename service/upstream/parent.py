"""Asks the parent, an edge nearer to the origin, for its latents: the network between them carries no pictures.

If the parent cannot give a latent, whatever the reason, the origin is asked. A parent that is down or too slow is not
asked again for a while, so that only one fill pays for the wait.

A picture that the parent does not store comes as its pixels (see `service.cache.bypass`), with the facts of its file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from service.errors import CodecFailed, OriginError, OriginTooSlow, OriginUnreachable, SourceError
from service.metrics.telemetry import Telemetry
from service.metrics.timings import Timings
from service.records.latent_facts import LatentFacts, latent_tag, read_facts
from service.records.record import Record
from service.rules.negotiation import LATENT_MEDIA_TYPE
from service.rules.origin_refused import OriginRefused
from service.upstream.intake import Delivered, Intake
from service.upstream.origin_client import Fetched, OriginClient
from service.upstream.source import Source, Terms

_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_OWN_REFUSALS: dict[int, str] = {HTTPStatus.UNAUTHORIZED: "wrong_token", HTTPStatus.NOT_FOUND: "no_latents"}
"""The label in metrics for an error of the parent itself."""
_WARNINGS = {
    "wrong_token": "EDGE_PARENT_TOKEN is not the EDGE_LATENT_TOKEN of the parent, which answers 401",
    "no_latents": "the parent serves no latents: it has no EDGE_LATENT_TOKEN, or is no edge, and answers 404",
}


class Parent:
    """The parent of one edge."""

    def __init__(
        self,
        client: OriginClient,
        *,
        intake: Intake,
        retry_s: float,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._intake = intake
        self._retry_s = retry_s
        self._telemetry = telemetry
        self._clock = clock
        self._alone_until_s = float("-inf")
        self._last_warning = ""

    async def ask(
        self, image_id: str, terms: Terms, timings: Timings, *, known: Record | Source | None = None
    ) -> Delivered | None:
        """Return what the parent has, or None to ask the origin. Raises OriginRefused for the origin's 404 or 410."""
        if self._clock() < self._alone_until_s:
            self._telemetry.count_parent_fallback("left_alone")
            return None
        try:
            with timings.measure("parent"):
                fetched = await self._client.fetch(
                    image_id,
                    etag=latent_tag(known) if isinstance(known, Record) else "",
                    passed_by=terms.passed_by,
                    client=terms.fields,
                )
            facts = read_facts(fetched.latent_facts)
            delivered = await self._intake.take(image_id, _with_origins_etag(fetched, facts), timings)
            self._last_warning = ""
            return _with_facts(delivered, facts)
        except (OriginError, SourceError, CodecFailed) as error:
            if isinstance(error, OriginRefused) and _is_the_origins_word(error):
                raise
            if isinstance(error, OriginUnreachable | OriginTooSlow):
                self._alone_until_s = self._clock() + self._retry_s
            reason = _reason(error)
            self._telemetry.count_parent_fallback(reason)
            self._warn(reason)
            return None

    def _warn(self, reason: str) -> None:
        """Log settings of parent and child that do not match: once, until the parent has served something."""
        if reason in _WARNINGS and reason != self._last_warning:
            self._last_warning = reason
            logging.getLogger(__name__).warning("%s; the origin is asked instead", _WARNINGS[reason])


def _with_origins_etag(fetched: Fetched, facts: LatentFacts | None) -> Fetched:
    """Replace the parent's own entity tag by the origin's, which the parent sends in a field beside it."""
    if facts is None:
        return fetched if _is_a_file(fetched) else replace(fetched, fields=replace(fetched.fields, etag=""))
    return replace(fetched, fields=replace(fetched.fields, etag=facts.origin_etag, is_stale=facts.is_stale))


def _is_a_file(fetched: Fetched) -> bool:
    """Return whether it is the origin's own file, which comes with the origin's own entity tag."""
    return fetched.body is not None and fetched.media_type != LATENT_MEDIA_TYPE


def _with_facts(delivered: Delivered, facts: LatentFacts | None) -> Delivered:
    """Give pixels of the parent the digest and the sizes of the file that they were made from."""
    if facts is None or not isinstance(delivered, Source):
        return delivered
    prepared = replace(
        delivered.prepared,
        source_digest=facts.source_digest,
        source_bytes=facts.source_bytes,
        conventional_high_bytes=facts.conventional_high_bytes,
        conventional_medium_bytes=facts.conventional_medium_bytes,
    )
    return replace(delivered, prepared=prepared)


def _is_the_origins_word(refused: OriginRefused) -> bool:
    # An edge always sends Cache-Status (RFC 9211) with these. A server without it may not know the route at all.
    return refused.status in _GONE and bool(refused.fields.cache_status)


def _reason(error: OriginError | SourceError | CodecFailed) -> str:
    if not isinstance(error, OriginRefused):
        return error.label
    if error.status == HTTPStatus.LOOP_DETECTED:
        return "loop"
    own = None if error.fields.cache_status else _OWN_REFUSALS.get(error.status)
    return own or error.label
