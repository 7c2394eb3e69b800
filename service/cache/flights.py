"""Who waits for whom: one fill for all who ask for the same, one fetch where there is no store. Asks no store itself.

Whether two requests ask for the same is known before the origin has answered only where it is known how the picture
varies. Whoever has waited for an answer that turns out to be another client's, or older than a purge, goes on:

    landed -> an error that may be another's alone     again, without the others
           -> for this request, and no purge since     it is the answer
           -> older than a purge                       again; nobody joins that one any more
           -> of another variant                       again, with those who ask for this one
"""

from __future__ import annotations

from collections.abc import Hashable

from service.cache.answer import Asked
from service.cache.coalescing import Coalescing, Landed
from service.cache.fill import Filler
from service.cache.fill_result import Filled
from service.errors import EdgeError
from service.metrics.telemetry import Telemetry
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.lookup import Lookup
from service.records.record import Record
from service.refine.refiner import Refiner
from service.upstream.source import Source

ATTEMPTS = 3  # assumed: so often something may come in between before one asks for oneself


class Flights:
    """Those of one process."""

    def __init__(self, filler: Filler, *, refiner: Refiner, telemetry: Telemetry, waiters: int) -> None:
        self._filler = filler
        self._refiner = refiner
        self._telemetry = telemetry
        self._fills: Coalescing[Filled] = Coalescing(waiters)
        self._fetches: Coalescing[Filled] = Coalescing(waiters)

    async def fill(self, asked: Asked, lookup: Lookup, *, instead_of: Record | None = None) -> Landed[Filled]:
        """One fill for all who ask. Raises its error."""
        # The key is the picture, or its variant, and not the size: both sizes wait for the same fill.
        key: Hashable = lookup.key
        for _ in range(ATTEMPTS):
            landed = await self._flown(key, asked, lookup, instead_of)
            if landed.collapsed and not landed.value.may_be_shared:
                break
            if landed.collapsed and await self._filler.is_outdated(landed.value):
                # That flight had begun before a purge, and this request may have come after it.
                self._fills.forget(key, only=landed)
            elif landed.collapsed and not landed.value.answers(asked.terms.fields):
                key = (lookup.key, landed.value.variant(asked.terms.fields))
            else:
                return _answering(landed)
        return _answering(await self._flown(object(), asked, lookup, instead_of))

    def begin(self, asked: Asked, lookup: Lookup) -> None:
        """A fill that nobody waits for."""
        self._fills.begin(lookup.key, lambda: self._fill(asked, lookup, None))

    async def fetch(self, asked: Asked, timings: Timings) -> Source:
        """The picture as the origin has it, where there is no store."""
        terms = asked.terms
        flight = (asked.wanted.image_id, terms.keep_file)
        landed = await self._fetches.run(flight, lambda: self._fetch(asked, timings))
        source = landed.value.source
        private = source is not None and source.storage.obstacle is not None
        shared = landed.value.may_be_shared and landed.value.answers(terms.fields)
        if landed.collapsed and (private or not shared):
            return await self._fetched_alone(asked, timings)
        source = _answering(landed).value.source
        assert source is not None, "a fetch brings a source or an error"
        return source

    def forget(self, key: bytes) -> None:
        """It was purged: who asks from now on joins no fill that is under way."""
        self._fills.forget(key)

    async def close(self, *, within_s: float) -> None:
        """Finish what is under way for the store, or end it."""
        await self._fills.close(within_s=within_s)
        await self._fetches.close(within_s=0)

    async def _flown(self, key: Hashable, asked: Asked, lookup: Lookup, instead_of: Record | None) -> Landed[Filled]:
        to_the_end = not self._may_be_shown(asked)
        return await self._fills.run(key, lambda: self._fill(asked, lookup, instead_of), to_the_end=to_the_end)

    def _may_be_shown(self, asked: Asked) -> bool:
        """Whether the source's pixels will do until the latent is there."""
        return self._filler.shows and not asked.wanted.is_latent

    async def _fill(self, asked: Asked, lookup: Lookup, instead_of: Record | None) -> Filled:
        """The flight: it goes on for the store even if every client has left."""
        show = self._fills.show if self._may_be_shown(asked) else None
        try:
            filled = await self._filler.fill(lookup, asked.terms, instead_of=instead_of, show=show)
        except EdgeError as error:
            return Filled(Timings(), asked.terms.fields, error=error)
        if filled.behind:
            self._telemetry.stages(filled.timings)
        if filled.skipped:
            self._telemetry.encode_skipped(filled.skipped)
        if filled.stored_at and filled.record is not None and filled.source is not None:
            self._refiner.offer(filled.stored_at, filled.record, filled.source.prepared.high)
        return filled

    async def _fetch(self, asked: Asked, timings: Timings) -> Filled:
        fields = asked.terms.fields
        try:
            return Filled(timings, fields, source=await self._fetched_alone(asked, timings))
        except EdgeError as error:
            return Filled(timings, fields, error=error)

    async def _fetched_alone(self, asked: Asked, timings: Timings) -> Source:
        return await self._filler.fetch(asked.wanted.image_id, asked.terms, timings, forwarded=Reason.STORE_UNAVAILABLE)


def _answering(landed: Landed[Filled]) -> Landed[Filled]:
    """Raises the error of a flight, which comes as a value so that not everyone who waited is told."""
    error = landed.value.error
    if error is not None:
        raise error.for_waiter() if landed.collapsed else error
    return landed
