"""Which requests share a fill, or a fetch where there is no store. Asks no store itself.

Whether two requests ask for the same is known before the origin has answered only where it is known how the picture
varies. A request that has waited for an answer which turns out to be another client's, or older than a purge, goes on:

    landed -> an error that may be another's alone     again, without the others
           -> for this request, and no purge since     it is the answer
           -> older than a purge                       again; no other request joins that flight any more
           -> of another variant                       again, with the requests for this variant
           -> a preview that was shown before          it is reused as a stored answer (`previews`)
           -> stale, and asked for before this request came    again: the next fill validates it

Each purge of a picture by its id sets a mark in the store. A fill reads it before anything else, and a request reads it
before it joins that fill. If the two differ, the fill may have begun before a purge that this request has come after,
however late the answers of the store are.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from service.cache.after_fill import AfterFill
from service.cache.answer import Asked
from service.cache.bypass import Bypass
from service.cache.coalescing import Coalescing, Fly, Landed, Show
from service.cache.encoder import Encoder
from service.cache.fill import Filler
from service.cache.fill_result import (
    Failed,
    FillFacts,
    FillResult,
    Preview,
    Reused,
    Unstored,
    WithRecord,
    answers,
    may_be_shared,
    variant,
)
from service.cache.previews import Previews
from service.errors import EdgeError
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.lookup import Lookup
from service.records.record import Record
from service.upstream.source import Source

ATTEMPTS = 3  # assumed: after so many flights of others that were of no use, a request asks for itself
Picture = WithRecord | Preview | Reused | Unstored
"""A fill that did not fail."""


@dataclass(frozen=True, slots=True)
class _Flown:
    """How a fill ended, and the purge mark from before it began."""

    result: FillResult
    purge_mark: bytes


class Flights:
    """The fills and fetches of one process that are under way."""

    def __init__(
        self,
        filler: Filler,
        bypass: Bypass,
        *,
        encoder: Encoder,
        previews: Previews,
        after_fill: AfterFill,
        waiters: int,
    ) -> None:
        """`waiters` is how many requests may wait for the flights of others."""
        self._filler = filler
        self._bypass = bypass
        self._encoder = encoder
        self._previews = previews
        self._after_fill = after_fill
        self._fills: Coalescing[_Flown] = Coalescing(waiters)
        self._fetches: Coalescing[Unstored | Failed] = Coalescing(waiters)

    async def fill(self, asked: Asked, lookup: Lookup, *, instead_of: Record | None = None) -> Landed[Picture]:
        """Join or start the fill for a request. Raises its error."""
        self._encoder.note(lookup.key)
        # The key is the picture, or its variant, and not the size: both sizes wait for the same fill.
        key: Hashable = lookup.key
        asked_s = self._filler.now_s()
        for _ in range(ATTEMPTS):
            mark = await self._filler.purge_mark(lookup) if key in self._fills else b""
            landed = await self._run(key, asked, lookup, instead_of)
            result = landed.value.result
            if not landed.collapsed:
                return _take_picture(result, collapsed=landed.collapsed)
            if landed.value.purge_mark != mark or await self._filler.is_outdated(result):
                # That flight had begun before a purge, and this request may have come after it.
                self._fills.forget(key, only=landed)
            elif not may_be_shared(result):
                break
            elif not answers(result, asked.terms.fields):
                key = (lookup.key, variant(result, asked.terms.fields))
            elif landed.late and isinstance(result, Preview):
                return await self._reuse(key, landed, result, asked)
            elif not self._filler.needs_validation(result, asked_s=asked_s):
                return _take_picture(result, collapsed=landed.collapsed)
        landed = await self._run(object(), asked, lookup, instead_of)
        return _take_picture(landed.value.result, collapsed=landed.collapsed)

    async def _reuse(self, key: Hashable, landed: Landed[_Flown], preview: Preview, asked: Asked) -> Landed[Picture]:
        def renew(renewed: Preview) -> None:
            self._fills.show_instead(key, replace(landed.value, result=renewed), only=landed)

        # The flight is a part of the key: a validation of what was purged since is none of its successor.
        reused = await self._previews.reuse((key, landed.flight), preview, asked, renew)
        return _take_picture(reused.value, collapsed=reused.collapsed)

    def begin(self, asked: Asked, lookup: Lookup) -> None:
        """Start a fill in the background."""
        self._fills.begin(lookup.key, self._flight(asked, lookup, None))

    async def fetch(self, asked: Asked, timings: Timings) -> Source:
        """Join or start the fetch for a request where there is no store. Raises its error."""
        fields = asked.terms.fields
        landed = await self._fetches.run(asked.wanted.image_id, lambda _: self._fetch(asked, timings))
        result = landed.value
        is_for_one = isinstance(result, Unstored) and result.is_for_one_client
        if landed.collapsed and (is_for_one or not (may_be_shared(result) and answers(result, fields))):
            return await self._bypass.fetch(asked, timings, forwarded=Reason.STORE_UNAVAILABLE)
        if isinstance(result, Failed):
            raise _failure(result, collapsed=landed.collapsed)
        return result.source

    def forget(self, key: bytes) -> None:
        """Let no request join the fill that is under way: the picture was purged."""
        self._fills.forget(key)

    async def close(self, *, within_s: float) -> None:
        """Let fills end for so long, then cancel them and all fetches."""
        await self._fills.close(within_s=within_s)
        await self._fetches.close(within_s=0)
        await self._previews.close()

    async def _run(self, key: Hashable, asked: Asked, lookup: Lookup, instead_of: Record | None) -> Landed[_Flown]:
        fly = self._flight(asked, lookup, instead_of)
        return await self._fills.run(key, fly, to_the_end=not self._takes_preview(asked))

    def _takes_preview(self, asked: Asked) -> bool:
        # Another edge that asks for the latent has no use for the source's pixels.
        return self._encoder.source_first and not asked.wanted.is_latent

    def _flight(self, asked: Asked, lookup: Lookup, instead_of: Record | None) -> Fly[_Flown]:
        async def fly(show: Show[_Flown]) -> _Flown:
            mark = await self._filler.purge_mark(lookup)
            shown = (lambda preview: show(_Flown(preview, mark))) if self._takes_preview(asked) else None
            return _Flown(await self._fill(asked, lookup, instead_of, show=shown), mark)

        return fly

    async def _fill(
        self, asked: Asked, lookup: Lookup, instead_of: Record | None, *, show: Show[Preview] | None
    ) -> FillResult:
        """Fill, and return an error as a value: not every request that waited gets it."""
        try:
            result = await self._filler.fill(lookup, asked.terms, instead_of=instead_of, show=show)
        except EdgeError as error:
            return _failed(asked, error)
        self._after_fill.take(result)
        return result

    async def _fetch(self, asked: Asked, timings: Timings) -> Unstored | Failed:
        why = Reason.STORE_UNAVAILABLE
        try:
            source = await self._bypass.fetch(asked, timings, forwarded=why)
        except EdgeError as error:
            return _failed(asked, error)
        return Unstored(FillFacts(timings, asked.terms.fields, why), source, why)


def _failed(asked: Asked, error: EdgeError) -> Failed:
    return Failed(FillFacts(Timings(), asked.terms.fields, Reason.URI_MISS), error)


def _take_picture(result: FillResult, *, collapsed: bool) -> Landed[Picture]:
    """Return the picture that a fill has brought. Raises its error."""
    if isinstance(result, Failed):
        raise _failure(result, collapsed=collapsed)
    return Landed(result, collapsed=collapsed)


def _failure(result: Failed, *, collapsed: bool) -> EdgeError:
    return result.error.for_waiter() if collapsed else result.error
