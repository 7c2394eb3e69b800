"""Request latents from the parent, an edge nearer to the origin.

If the parent sends no usable latent, for whatever reason, the picture is fetched from the origin. A parent that is down
or too slow gets no requests during a back-off, so that not every fill has to wait for its timeout.

If the parent may not store a picture, it sends a PNG instead of a latent (see `service.cache.bypass`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from service.errors import CodecFailed, OriginError, OriginTooSlow, OriginUnreachable, SourceError
from service.metrics.timings import Timings
from service.metrics.upstream_counts import ParentCounts
from service.records.latent_facts import LatentFacts, latent_tag, read_facts
from service.records.record import Record
from service.rules.negotiation import LATENT_MEDIA_TYPE
from service.rules.origin_refused import OriginRefused
from service.upstream.fetched import Fetched
from service.upstream.intake import Delivered, Intake
from service.upstream.origin_client import OriginClient
from service.upstream.slots import OnSlow, Slot, ignore
from service.upstream.source import Source, Terms

_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_OWN_REFUSALS: dict[int, str] = {HTTPStatus.UNAUTHORIZED: "wrong_token", HTTPStatus.NOT_FOUND: "no_latents"}
"""The label in metrics for each error status that the parent itself sends, in contrast to one from the origin."""
_WARNINGS = {
    "wrong_token": "EDGE_PARENT_TOKEN is not the EDGE_LATENT_TOKEN of the parent, which answers 401",
    "no_latents": "the parent answers 404: it has no EDGE_LATENT_TOKEN, knows no origin of this name, or is no edge",
}


def mismatch_told_by(refused: OriginRefused) -> str:
    """Return which settings of parent and child do not fit together, or nothing if the answer does not tell."""
    return _WARNINGS.get(_reason(refused), "")


class Parent:
    """Fetches pictures from the parent of this edge, with a back-off after it failed."""

    def __init__(
        self,
        client: OriginClient,
        *,
        intake: Intake,
        retry_s: float,
        counts: ParentCounts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._intake = intake
        self._retry_s = retry_s
        self._counts = counts
        self._clock = clock
        self._back_off_until_s = float("-inf")
        self._last_warning = ""

    async def ask(
        self,
        image_id: str,
        terms: Terms,
        timings: Timings,
        *,
        known: Record | Source | None = None,
        on_slow: OnSlow = ignore,
    ) -> Delivered | None:
        """Fetch a picture or a latent from the parent. Return None if it must be fetched from the origin instead.

        Raises OriginRefused for a 404 or 410 of the origin that the parent passes on.
        """
        if self._clock() < self._back_off_until_s:
            self._counts.count_fallback("left_alone")
            return None
        try:
            async with self._client.slot(on_slow) as slot:
                delivered = await self._fetch(image_id, terms, timings, known=known, slot=slot)
        except (OriginError, SourceError, CodecFailed) as error:
            if isinstance(error, OriginRefused) and _is_from_origin(error):
                raise
            if isinstance(error, OriginUnreachable | OriginTooSlow):
                self._back_off_until_s = self._clock() + self._retry_s
            reason = _reason(error)
            self._counts.count_fallback(reason)
            self._warn(reason)
            return None
        self._last_warning = ""
        return delivered

    async def _fetch(
        self, image_id: str, terms: Terms, timings: Timings, *, known: Record | Source | None, slot: Slot
    ) -> Delivered:
        with timings.measure("parent"):
            fetched = await self._client.fetch(
                image_id,
                etag=latent_tag(known) if isinstance(known, Record) else "",
                passed_by=terms.passed_by,
                client=terms.fields,
                slot=slot,
            )
        facts = read_facts(fetched.latent_facts)
        delivered = await self._intake.take(image_id, _with_origin_etag(fetched, facts), timings)
        return _with_facts(delivered, facts)

    def _warn(self, reason: str) -> None:
        """Log a mismatch between the settings of parent and child, once until the parent works again."""
        if reason in _WARNINGS and reason != self._last_warning:
            self._last_warning = reason
            logging.getLogger(__name__).warning("%s; the origin is asked instead", _WARNINGS[reason])


def _with_origin_etag(fetched: Fetched, facts: LatentFacts | None) -> Fetched:
    """Replace the parent's entity tag with the origin's entity tag, which the parent sends among the facts."""
    if facts is None:
        return fetched if _is_origin_file(fetched) else replace(fetched, fields=replace(fetched.fields, etag=""))
    return replace(fetched, fields=replace(fetched.fields, etag=facts.origin_etag, is_stale=facts.is_stale))


def _is_origin_file(fetched: Fetched) -> bool:
    """Return whether the response is a picture file and no latent, so that its entity tag is the origin's."""
    return fetched.body is not None and fetched.media_type != LATENT_MEDIA_TYPE


def _with_facts(delivered: Delivered, facts: LatentFacts | None) -> Delivered:
    """Add the digest and the sizes of the source file, which the parent sent as facts, to a picture that it sent."""
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


def _is_from_origin(refused: OriginRefused) -> bool:
    # An edge passes on the origin's 404 and 410 with a Cache-Status field (RFC 9211). A 404 without it may come from a
    # server that does not have the route for latents at all.
    return refused.status in _GONE and bool(refused.fields.cache_status)


def _reason(error: OriginError | SourceError | CodecFailed) -> str:
    if not isinstance(error, OriginRefused):
        return error.label
    if error.status == HTTPStatus.LOOP_DETECTED:
        return "loop"
    own = None if error.fields.cache_status else _OWN_REFUSALS.get(error.status)
    return own or error.label
