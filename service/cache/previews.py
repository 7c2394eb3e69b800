"""Reuse previews like stored responses (RFC 9111 4): serve fresh ones, validate stale ones. Stores nothing.

With EDGE_MISS=source a picture is served before it is encoded. A request that comes after the origin's response, while
the encode waits or runs, finds the preview:

    fresh                                 the preview, with its age
    stale, within stale-while-revalidate  the preview, while it is validated in the background (RFC 5861 3)
    stale                                 one validation for all waiting requests -> 304, another picture, or an error
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from http import HTTPStatus

from service.cache.answer import Asked
from service.cache.coalescing import Coalescing, Landed
from service.cache.fill_result import Failed, FillFacts, FillResult, Preview, Reused, Unstored, answers, may_be_shared
from service.errors import EdgeError, OriginError, SourceError, note_forward_reason
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.grant import Grant
from service.records.renewal import Confirmed, merge_fields
from service.records.staleness import Use, may_stand_in, use_of
from service.rules.origin_refused import OriginRefused
from service.upstream.source import Source
from service.upstream.upstream import Upstream

Renew = Callable[[Preview | None], None]
"""Called after a validation with the preview to serve from now on, or with None to serve no preview any more."""


class Previews:
    """Decides whether a preview (a picture served before its encode has ended) may be reused, and validates it."""

    def __init__(
        self, upstream: Upstream, *, void: Callable[[Grant], Awaitable[None]], now: Callable[[], float], waiters: int
    ) -> None:
        """Let at most `waiters` requests at a time wait for validations that other requests started.

        `void` withdraws a fill's permission to store its picture.
        """
        self._upstream = upstream
        self._void_grant = void
        self._now = now
        self._validations: Coalescing[FillResult] = Coalescing(waiters)

    async def reuse(self, key: Hashable, preview: Preview, asked: Asked, renew: Renew) -> Landed[FillResult]:
        """Return the result for a later request: the preview, or the result of its validation."""
        unasked = replace(preview.facts, timings=Timings())
        match use_of(preview, now_s=self._now()):
            case Use.FRESH:
                return Landed(Reused(unasked, preview), collapsed=False)
            case Use.WHILE_REVALIDATING:
                self._validations.begin(key, lambda _: self._validate(preview, asked, renew))
                return Landed(Reused(unasked, preview, Reason.STALE_WHILE_REVALIDATE), collapsed=False)
            case _:
                return await self._join_validation(key, preview, asked, renew)

    async def close(self) -> None:
        """Cancel the validations that run."""
        await self._validations.close(within_s=0)

    async def _join_validation(self, key: Hashable, preview: Preview, asked: Asked, renew: Renew) -> Landed[FillResult]:
        landed = await self._validations.run(key, lambda _: self._validate(preview, asked, renew))
        result = landed.value
        if landed.collapsed and not (may_be_shared(result) and answers(result, asked.terms.fields)):
            return await self._validations.run(object(), lambda _: self._validate(preview, asked, renew))
        return landed

    async def _validate(self, preview: Preview, asked: Asked, renew: Renew) -> FillResult:
        """Validate the preview with the origin (RFC 9111 4.3).

        If the origin has another picture, or none that may be stored, the fill must not store the old one any more.
        """
        facts = FillFacts(Timings(), asked.terms.fields, Reason.STALE, HTTPStatus.OK)
        try:
            with note_forward_reason(Reason.STALE):
                result = await self._ask(preview, asked, facts)
        except EdgeError as error:
            if _supersedes(error):
                await self._void(preview)
                renew(None)
            return self._show_stale(preview, error, facts) if isinstance(error, OriginError) else Failed(facts, error)
        if isinstance(result, Unstored):
            await self._void(preview)
            renew(None)
            return result
        if result.source.prepared.source_digest != preview.source.prepared.source_digest:
            await self._void(preview)
            result = replace(result, grant=None)
        renew(result)
        return result

    async def _void(self, preview: Preview) -> None:
        if preview.grant is not None:
            await self._void_grant(preview.grant)

    async def _ask(self, preview: Preview, asked: Asked, facts: FillFacts) -> Preview | Unstored:
        known = preview.source
        answered = await self._upstream.ask(asked.wanted.image_id, asked.terms, facts.timings, known)
        if isinstance(answered, Confirmed):
            facts = replace(facts, origin_status=HTTPStatus.NOT_MODIFIED)
            source = self._confirm(asked.wanted.image_id, known, answered)
        else:
            source = await self._upstream.as_source(answered)
        if source.storage.obstacle is not None:
            return Unstored(facts, source, source.storage.obstacle)
        return Preview(facts, source, preview.grant)

    def _confirm(self, image_id: str, known: Source, confirmed: Confirmed) -> Source:
        fields = self._upstream.limit_by_redirects(merge_fields(known.fields, confirmed.fields))
        return replace(known, fields=fields, storage=self._upstream.storage(image_id, fields))

    def _show_stale(self, preview: Preview, error: OriginError, facts: FillFacts) -> Reused | Failed:
        """Return the stale preview to serve instead of the origin's error (RFC 5861 4), or Failed if it may not be."""
        refused = error if isinstance(error, OriginRefused) else None
        if (refused is not None and refused.is_final) or not may_stand_in(preview, now_s=self._now()):
            return Failed(facts, error)
        status = None if refused is None else refused.status
        return Reused(replace(facts, origin_status=status), preview, Reason.STALE_IF_ERROR)


def _supersedes(error: EdgeError) -> bool:
    """Return whether this error replaces the preview for all requests, as the most recent response (RFC 9111 4)."""
    if isinstance(error, OriginRefused):
        return error.is_final and (error.is_reusable or error.says_gone)
    return isinstance(error, SourceError) and error.is_reusable
