"""Previews are reused as stored answers are (RFC 9111 4): shown while they are fresh, else validated. Stores nothing.

With EDGE_MISS=source a picture is shown before it is encoded. A request that comes after the origin's answer, while the
encode waits or runs, is no part of the first request any more:

    fresh                   the preview, with its age
    stale, may be shown     the preview, while one request validates it (RFC 5861 3)
    stale                   one validation for all requests that wait for it -> 304, another picture, or an error
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from http import HTTPStatus

from service.cache.answer import Asked
from service.cache.coalescing import Coalescing, Landed
from service.cache.fill_result import Failed, FillFacts, FillResult, Preview, Reused, Unstored, answers, may_be_shared
from service.errors import EdgeError, OriginError, note_forward_reason
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.renewal import Confirmed, merge_fields
from service.records.staleness import Use, may_stand_in, use_of
from service.rules.origin_refused import OriginRefused
from service.upstream.source import Source
from service.upstream.upstream import Upstream

Renew = Callable[[Preview], None]
"""Called with a preview that takes the place of the one that was validated."""


class Previews:
    """Decides how a preview is reused, and validates it."""

    def __init__(self, upstream: Upstream, *, now: Callable[[], float], waiters: int) -> None:
        """`waiters` is how many requests may wait for the validations of others."""
        self._upstream = upstream
        self._now = now
        self._validations: Coalescing[FillResult] = Coalescing(waiters)

    async def reuse(self, key: Hashable, preview: Preview, asked: Asked, renew: Renew) -> Landed[FillResult]:
        """Return what a request gets that has found this preview."""
        unasked = replace(preview.facts, timings=Timings())
        match use_of(preview, now_s=self._now()):
            case Use.FRESH:
                return Landed(Reused(unasked, preview), collapsed=False)
            case Use.WHILE_REVALIDATING:
                self._validations.begin(key, lambda _: self._validate(preview, asked, renew))
                return Landed(Reused(unasked, preview, Reason.STALE_WHILE_REVALIDATE), collapsed=False)
            case _:
                return await self._validated(key, preview, asked, renew)

    async def close(self) -> None:
        """Cancel the validations."""
        await self._validations.close(within_s=0)

    async def _validated(self, key: Hashable, preview: Preview, asked: Asked, renew: Renew) -> Landed[FillResult]:
        landed = await self._validations.run(key, lambda _: self._validate(preview, asked, renew))
        result = landed.value
        if landed.collapsed and not (may_be_shared(result) and answers(result, asked.terms.fields)):
            return await self._validations.run(object(), lambda _: self._validate(preview, asked, renew))
        return landed

    async def _validate(self, preview: Preview, asked: Asked, renew: Renew) -> FillResult:
        """Ask the origin whether the preview is still good (RFC 9111 4.3)."""
        facts = FillFacts(Timings(), asked.terms.fields, Reason.STALE, HTTPStatus.OK)
        try:
            with note_forward_reason(Reason.STALE):
                result = await self._ask(preview, asked, facts)
        except OriginError as error:
            return self._show_stale(preview, error, facts)
        except EdgeError as error:
            return Failed(facts, error)
        if isinstance(result, Preview):
            renew(result)
        return result

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
        """RFC 5861 4, as for a stale record."""
        status = error.status if isinstance(error, OriginRefused) else None
        is_final = status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR
        if is_final or not may_stand_in(preview, now_s=self._now()):
            return Failed(facts, error)
        return Reused(replace(facts, origin_status=status), preview, Reason.STALE_IF_ERROR)
