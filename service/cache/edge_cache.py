"""The story of one picture request, read from top to bottom. Rules live in the pure modules, I/O in the adapters.

hit        store -> 304 or headers or decode -> file
stale      as a hit, while one fill asks the origin; or one fill first, for all who ask
miss       one fill for all who ask -> as a hit
no-store   one fetch for all who ask, then one for each -> resized from the source, or passed on as it is
no store   one fetch for all who ask -> resized from the source
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from service.cache.answer import Answer, Asked
from service.cache.bypass import Bypass
from service.cache.coalescing import Landed
from service.cache.fill import Filler
from service.cache.fill_result import Filled
from service.cache.flights import Flights
from service.cache.reencoder import Reencoder
from service.cache.renditions import Renditions
from service.errors import CodecFailed, DamagedBitstream, RecordError, StoreUnavailable
from service.metrics.outcomes import Outcome
from service.metrics.telemetry import Telemetry
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.latent_facts import facts_of, write_facts
from service.records.lookup import Lookup
from service.records.record import Record
from service.records.record_store import Found
from service.records.staleness import Use
from service.rules import freshness
from service.rules.conditional import Validators

_STALE = {Use.WHILE_REVALIDATING: Reason.STALE_WHILE_REVALIDATE, Use.INSTEAD_OF_ERROR: Reason.STALE_IF_ERROR}


class EdgeCache:
    """Answers picture requests."""

    def __init__(
        self,
        *,
        filler: Filler,
        flights: Flights,
        renditions: Renditions,
        reencoder: Reencoder,
        telemetry: Telemetry,
        now: Callable[[], float],
    ) -> None:
        self._filler = filler
        self._flights = flights
        self._renditions = renditions
        self._reencoder = reencoder
        self._bypass = Bypass(renditions, now=now)
        self._telemetry = telemetry
        self._now = now

    async def answer(self, asked: Asked, timings: Timings) -> Answer:
        """Raises an EdgeError that has a status for the client."""
        try:
            with timings.measured("store"):
                lookup = await self._filler.lookup(asked.wanted.image_id, asked.terms)
                found = await self._filler.look(lookup)
            passed = isinstance(found, Reason) and await self._filler.is_passed(lookup)
        except StoreUnavailable:
            return await self._answer_without_store(asked, timings)
        except RecordError as error:
            self._telemetry.record_fault(error.reason)
            return await self._answer_after_fill(asked, lookup, timings)
        if isinstance(found, Reason):
            if passed:
                return await self._answer_passed(asked, lookup, timings, forwarded=found)
            return await self._answer_after_fill(asked, lookup, timings)
        use = self._filler.use_of(found.record, asked.wanted.image_id)
        if use is Use.WHILE_REVALIDATING and asked.wanted.is_latent:
            # Another edge would store it as it is, and ask again at once.
            use = Use.AFTER_VALIDATION
        if use is Use.AFTER_VALIDATION:
            return await self._answer_after_fill(asked, lookup, timings)
        if use is Use.WHILE_REVALIDATING:
            self._flights.begin(asked, lookup)
        return await self._answer_stored(found, use, asked, timings)

    def forget(self, image_id: str) -> None:
        """It was purged: who asks from now on joins no fill that is under way, and the origin is asked at once."""
        self._flights.forget(self._filler.home(image_id))
        self._filler.forget_failure(image_id)

    async def close(self, *, within_s: float) -> None:
        """Finish what is under way for the store, or end it."""
        await self._flights.close(within_s=within_s)

    async def _answer_stored(self, found: Found, use: Use, asked: Asked, timings: Timings) -> Answer:
        record, lookup, fresh = found.record, found.lookup, use is Use.FRESH
        try:
            answer = await self._answer_from(record, asked, timings, outcome=Outcome.HIT if fresh else Outcome.STALE)
        except DamagedBitstream as error:
            self._telemetry.record_fault(error.reason)
            return await self._answer_after_fill(asked, lookup, timings, instead_of=record)
        if not fresh:
            return replace(answer, detail=_STALE[use])
        self._telemetry.origin_avoided(record.source_bytes)
        self._reencoder.offer(found, asked.terms)
        return answer

    async def _answer_after_fill(
        self, asked: Asked, lookup: Lookup, timings: Timings, *, instead_of: Record | None = None
    ) -> Answer:
        self._filler.note(lookup)
        landed = await self._flights.fill(asked, lookup, instead_of=instead_of)
        filled = landed.value
        if not landed.collapsed:
            timings.stages.extend(filled.timings.stages)
        if filled.record is None:
            return await self._answer_unstored(landed, asked, timings)
        outcome = _outcome(landed)
        try:
            answer = await self._answer_from(filled.record, asked, timings, outcome=outcome)
        except DamagedBitstream as error:
            if filled.source is None and instead_of is None:  # only its dates are known to be good
                self._telemetry.record_fault(error.reason)
                return await self._answer_after_fill(asked, lookup, timings, instead_of=filled.record)
            raise CodecFailed("a bitstream that was just made cannot be read") from error
        brought = filled.source or filled.latent
        if outcome is Outcome.MISS and brought is not None:
            answer = replace(answer, age=brought.fields.age)  # this client's request went to the origin
        forwarded = None if outcome is Outcome.HIT else filled.forwarded
        detail = None if forwarded is not None and forwarded.detail else answer.detail
        return replace(
            answer,
            forwarded=forwarded,
            origin_status=filled.origin_status,
            collapsed=landed.collapsed or filled.waited,
            stored=bool(filled.stored_at) and not landed.collapsed,
            detail=Reason.STALE_IF_ERROR if filled.failed else detail,
        )

    async def _answer_from(self, record: Record, asked: Asked, timings: Timings, *, outcome: Outcome) -> Answer:
        wanted, now_s = asked.wanted, self._now()
        tag = self._renditions.entity_tag(record, wanted)
        # Known before any decode: neither a 304 nor a HEAD touches the codec.
        not_modified = asked.conditions.not_modified(
            Validators(entity_tag=tag, last_modified=record.passed.last_modified, date=record.passed.date), now_s=now_s
        )
        made = None if not_modified or asked.head else await self._renditions.made(record, wanted, tag, timings)
        return Answer(
            outcome=outcome,
            media_type=wanted.media_type,
            body=made.body if made is not None else None,
            detail=Reason.MEMORY if made is not None and made.from_memory else None,
            not_modified=not_modified,
            entity_tag=tag,
            passed=record.passed,
            status=record.status,
            age=str(freshness.age_s(born_ms=record.born_ms, now_s=now_s)),
            ttl_s=freshness.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=now_s),
            latent_facts=_latent_facts(record, outcome) if wanted.is_latent else "",
            tags=record.tags if wanted.is_latent else (),
        )

    async def _answer_unstored(self, landed: Landed[Filled], asked: Asked, timings: Timings) -> Answer:
        filled, source = landed.value, landed.value.source
        assert source is not None, "a fill brings a record or a source"
        obstacle = source.storage.obstacle
        collapsed = landed.collapsed and obstacle is None and not asked.wanted.is_latent
        if landed.collapsed and not collapsed:
            # RFC 9111 5.2.2.5 and 5.2.2.7: that answer was for another client. Or it was no latent.
            source = await self._filler.fetch(asked.wanted.image_id, asked.terms, timings, forwarded=filled.forwarded)
        answer = await self._bypass.answer(source, asked, timings)
        outcome = Outcome.BYPASS if obstacle is not None else Outcome.COLLAPSED if collapsed else Outcome.MISS
        return replace(
            answer,
            outcome=outcome,
            forwarded=filled.forwarded,
            origin_status=filled.origin_status,
            collapsed=collapsed,
            detail=source.storage.obstacle or filled.skipped or Reason.SOURCE,
        )

    async def _answer_passed(self, asked: Asked, lookup: Lookup, timings: Timings, *, forwarded: Reason) -> Answer:
        source = await self._filler.fetch_passed(lookup, asked.terms, timings, forwarded=forwarded)
        answer = await self._bypass.answer(source, asked, timings)
        return replace(answer, forwarded=forwarded, detail=source.storage.obstacle)

    async def _answer_without_store(self, asked: Asked, timings: Timings) -> Answer:
        source = await self._flights.fetch(asked, timings)
        answer = await self._bypass.answer(source, asked, timings)
        return replace(answer, forwarded=Reason.STORE_UNAVAILABLE)


def _latent_facts(record: Record, outcome: Outcome) -> str:
    return write_facts(facts_of(record, is_stale=outcome is Outcome.STALE))


def _outcome(landed: Landed[Filled]) -> Outcome:
    filled = landed.value
    if filled.failed:
        return Outcome.STALE
    if landed.collapsed or filled.waited:
        return Outcome.COLLAPSED
    if filled.found:
        return Outcome.HIT
    confirmed = filled.forwarded is Reason.STALE and (filled.source or filled.latent) is None
    return Outcome.REVALIDATED if confirmed else Outcome.MISS
