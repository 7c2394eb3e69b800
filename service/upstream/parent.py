"""Asks the parent, an edge nearer to the origin, for its latents: the network between them carries no pictures.

If the parent cannot give a latent, whatever the reason, the origin is asked. A parent that is down or too slow is not
asked again for a while, so that only one fill pays for the wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from service.errors import CodecFailed, OriginError, OriginTooSlow, OriginUnreachable, SourceError
from service.metrics.telemetry import Telemetry
from service.metrics.timings import Timings
from service.records.latent_facts import latent_tag, read_facts
from service.records.record import Record
from service.rules.negotiation import LATENT_MEDIA_TYPE
from service.rules.origin_refused import OriginRefused
from service.upstream.intake import Delivered, Intake
from service.upstream.origin_client import Fetched, OriginClient
from service.upstream.source import Terms

_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


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

    async def ask(
        self, image_id: str, terms: Terms, timings: Timings, *, known: Record | None = None
    ) -> Delivered | None:
        """Return what the parent has, or None to ask the origin. Raises OriginRefused for the origin's 404 or 410."""
        if self._clock() < self._alone_until_s:
            self._telemetry.count_parent_fallback("left_alone")
            return None
        try:
            with timings.measure("parent"):
                fetched = await self._client.fetch(
                    image_id,
                    etag="" if known is None else latent_tag(known),
                    passed_by=terms.passed_by,
                    client=terms.fields,
                )
            return await self._intake.take(image_id, _with_origins_etag(fetched), timings, keep_file=terms.keep_file)
        except (OriginError, SourceError, CodecFailed) as error:
            if isinstance(error, OriginRefused) and _is_the_origins_word(error):
                raise
            if isinstance(error, OriginUnreachable | OriginTooSlow):
                self._alone_until_s = self._clock() + self._retry_s
            self._telemetry.count_parent_fallback(_reason(error))
            return None


def _with_origins_etag(fetched: Fetched) -> Fetched:
    """Replace a latent's own entity tag by the origin's, which the parent sends in a field beside it."""
    if fetched.body is not None and fetched.media_type != LATENT_MEDIA_TYPE:
        return fetched
    facts = read_facts(fetched.latent_facts)
    if facts is None:
        return replace(fetched, fields=replace(fetched.fields, etag=""))
    return replace(fetched, fields=replace(fetched.fields, etag=facts.origin_etag, is_stale=facts.is_stale))


def _is_the_origins_word(refused: OriginRefused) -> bool:
    # An edge always sends Cache-Status (RFC 9211) with these. A server without it may not know the route at all.
    return refused.status in _GONE and bool(refused.fields.cache_status)


def _reason(error: OriginError | SourceError | CodecFailed) -> str:
    if isinstance(error, OriginRefused) and error.status == HTTPStatus.LOOP_DETECTED:
        return "loop"
    return error.label
