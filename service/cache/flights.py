"""Decide which requests share a fill, or a fetch if the store does not answer. Makes no request to the store itself.

Before the origin has answered, the edge may not know by which fields a picture varies, and so whether two requests
select the same variant. A request that has waited for another request's fill therefore checks the result:

    an error that the other request's fields may have caused    fetch alone
    the result of a fill from before a purge                    start or join a new fill
    a demoted record, for a child edge                          start or join a fill of the high latent
    another variant                                             start or join the fill for this variant
    a preview that was shown before this request came           reuse it like a stored response (`previews`)
    a stale picture, fetched before this request came           start or join a fill, which validates it
    a stale picture that was shown before this request came     answer with it, while it may stand in for an error
    any other result                                            answer with it

Each purge of a picture by its id changes a mark in the store. A fill reads the mark before anything else, and a request
reads it before it joins that fill. If the two marks differ, the fill may have begun before the purge, and the request
may have come after it. This holds however long the store takes to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
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
    StaleInstead,
    Unstored,
    WithRecord,
    answers,
    holds_demoted,
    may_be_shared,
    variant,
)
from service.cache.fill_work import Unfit
from service.cache.previews import Previews
from service.errors import EdgeError
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.grant import PurgePoint
from service.records.lookup import Lookup
from service.records.record import Record
from service.upstream.source import Source

ATTEMPTS = 3  # assumed: after three results of other requests' fills that it cannot use, a request fetches for itself
HIGH = "high"
"""In the key of a flight: it fetches the high latent, although a demoted record is fresh."""
Picture = WithRecord | Preview | Reused | Unstored
"""The result of a fill without an error."""


@dataclass(frozen=True, slots=True)
class _Flown:
    """The result of a fill, and the latest purges at its start (`since`)."""

    result: FillResult
    since: PurgePoint

    def is_purged(self, now: PurgePoint) -> bool:
        """Return whether a purge of this picture by its id came after the start of the fill.

        An error and a preview have no record whose tags could be checked, so any purge by tag or of all counts too.
        """
        purged_many = isinstance(self.result, Failed | Preview) and self.since.generation < now.generation
        return purged_many or self.since.mark != now.mark


class Flights:
    """The running fills and fetches of one process."""

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
        """Let at most `waiters` requests wait for fills of other requests, and at most `waiters` for their fetches."""
        self._filler = filler
        self._bypass = bypass
        self._encoder = encoder
        self._previews = previews
        self._after_fill = after_fill
        self._fills: Coalescing[_Flown] = Coalescing(waiters)
        self._fetches: Coalescing[Unstored | Failed] = Coalescing(waiters)

    async def fill(self, asked: Asked, lookup: Lookup, *, instead_of: Record | None = None) -> Landed[Picture]:
        """Join or start the fill for a request, and return its result. Raises the EdgeError of a failed fill."""
        self._encoder.note(lookup.key)
        unfit = Unfit(instead_of, demoted=asked.wanted.is_latent)
        # The key names the picture or its variant, but no size: both sizes wait for the same fill.
        key: Hashable = lookup.key
        asked_s = self._filler.now_s()
        for _ in range(ATTEMPTS):
            now = await self._filler.purge_point(lookup) if key in self._fills else PurgePoint(b"", 0)
            landed = await self._run(key, asked, lookup, unfit)
            result = landed.value.result
            if not landed.collapsed:
                return _take_picture(result, collapsed=landed.collapsed)
            if landed.value.is_purged(now) or await self._filler.is_outdated(result):
                # The fill had begun before a purge, and this request may have come after the purge.
                self._fills.forget(key, only=landed)
            elif not may_be_shared(result):
                break
            elif asked.wanted.is_latent and holds_demoted(result):
                key = (lookup.key, HIGH)
            elif not answers(result, asked.terms.fields):
                key = (lookup.key, variant(result, asked.terms.fields))
            elif landed.late and isinstance(result, Preview):
                return await self._reuse(key, landed, result, asked)
            elif not self._filler.needs_validation(result, asked_s=asked_s):
                return _take_picture(result, collapsed=landed.collapsed)
        landed = await self._run(object(), asked, lookup, unfit)
        return _take_picture(landed.value.result, collapsed=landed.collapsed)

    async def _reuse(self, key: Hashable, landed: Landed[_Flown], preview: Preview, asked: Asked) -> Landed[Picture]:
        def renew(renewed: Preview | None) -> None:
            if renewed is None:
                self._fills.forget(key, only=landed)
            else:
                self._fills.show_instead(key, replace(landed.value, result=renewed), only=landed)

        # The key names the flight too, so that no request after a purge joins the validation of a purged preview.
        reused = await self._previews.reuse((key, landed.flight), preview, asked, renew)
        return _take_picture(reused.value, collapsed=reused.collapsed)

    def begin(self, asked: Asked, lookup: Lookup, *, demoted: bool = False) -> None:
        """Start the fill for a request in the background, unless it is running already.

        With `demoted`, it replaces a demoted record, although that is fresh.
        """
        self._fills.begin(lookup.key, self._flight(asked, lookup, Unfit(demoted=demoted)))

    async def fetch(self, asked: Asked, timings: Timings) -> Source:
        """Join or start the fetch for a request while the store does not answer. Raises the EdgeError of the fetch."""
        fields = asked.terms.fields
        landed = await self._fetches.run(asked.wanted.image_id, lambda _: self._fetch(asked, timings))
        result = landed.value
        is_for_one = isinstance(result, Unstored) and result.is_for_one_client
        if landed.collapsed and (is_for_one or not (may_be_shared(result) and answers(result, fields))):
            return await self._bypass.fetch(asked, timings, forwarded=Reason.STORE_UNAVAILABLE)
        if isinstance(result, Failed):
            raise _error_of(result, collapsed=landed.collapsed)
        return result.source

    def forget(self, key: bytes) -> None:
        """Let no further request join the running fill of a picture that was purged."""
        self._fills.forget(key)

    async def close(self, *, within_s: float) -> None:
        """Wait up to `within_s` seconds for fills to end, then cancel them and all fetches."""
        await self._fills.close(within_s=within_s)
        await self._fetches.close(within_s=0)
        await self._previews.close()

    async def _run(self, key: Hashable, asked: Asked, lookup: Lookup, unfit: Unfit) -> Landed[_Flown]:
        fly = self._flight(asked, lookup, unfit)
        landed = await self._fills.run(key, fly, to_the_end=False)
        return landed if self._takes(landed.value.result, asked) else await self._fills.run(key, fly)

    def _takes(self, result: FillResult, asked: Asked) -> bool:
        """Return whether this result can answer the request, although it may be preliminary."""
        match result:
            case Preview():
                return self._takes_preview(asked)
            case StaleInstead():
                is_fit = not (asked.wanted.is_latent and holds_demoted(result))
                return is_fit and self._filler.may_still_be_shown(result)
            case _:
                return True

    def _takes_preview(self, asked: Asked) -> bool:
        # A preview is made of the source's pixels. A child edge needs the latent, so it waits for the encode.
        return self._encoder.source_first and not asked.wanted.is_latent

    def _flight(self, asked: Asked, lookup: Lookup, unfit: Unfit) -> Fly[_Flown]:
        async def fly(show: Show[_Flown]) -> _Flown:
            since = await self._filler.purge_point(lookup)

            def tell(preliminary: Preview | StaleInstead) -> None:
                show(_Flown(preliminary, since))

            return _Flown(await self._fill(asked, lookup, unfit, tell), since)

        return fly

    async def _fill(
        self, asked: Asked, lookup: Lookup, unfit: Unfit, tell: Callable[[Preview | StaleInstead], None]
    ) -> FillResult:
        """Run the fill, and return an error as a value, because a collapsed request may have to fetch for itself."""
        show = tell if self._takes_preview(asked) else None
        try:
            result = await self._filler.fill(lookup, asked.terms, unfit=unfit, show=show, show_stale=tell)
        except EdgeError as error:
            return _to_failed(asked, error)
        self._after_fill.observe(result)
        return result

    async def _fetch(self, asked: Asked, timings: Timings) -> Unstored | Failed:
        why = Reason.STORE_UNAVAILABLE
        try:
            source = await self._bypass.fetch(asked, timings, forwarded=why)
        except EdgeError as error:
            return _to_failed(asked, error)
        return Unstored(FillFacts(timings, asked.terms.fields, why), source, why)


def _to_failed(asked: Asked, error: EdgeError) -> Failed:
    return Failed(FillFacts(Timings(), asked.terms.fields, Reason.URI_MISS), error)


def _take_picture(result: FillResult, *, collapsed: bool) -> Landed[Picture]:
    """Return the result of a fill that has a picture. Raises the EdgeError of a failed fill."""
    if isinstance(result, Failed):
        raise _error_of(result, collapsed=collapsed)
    return Landed(result, collapsed=collapsed)


def _error_of(result: Failed, *, collapsed: bool) -> EdgeError:
    return result.error.for_waiter() if collapsed else result.error
