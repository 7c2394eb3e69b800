"""Answer one request for a picture: look up its state in the store, then answer as that state demands.

fresh         from the stored record: 304, header fields alone (HEAD), or a decoded file; a demoted record that is
              requested often is fetched again, behind the answer
stale         as fresh, while one fill validates the record with the origin
missing       one fill for all waiting requests, then as fresh
hit-for-miss  one fetch for each request, answered with the origin's picture, resized or unchanged
unconfirmed   the store does not answer, but has confirmed the record a short while ago: as fresh
no store      one fetch for all waiting requests, answered with the origin's picture, resized or unchanged

Rules live in the pure modules (`service.rules`, `service.records`), I/O in the adapters.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from service.cache.after_hit import AfterHit
from service.cache.answer import Answer, Asked
from service.cache.bypass import Bypass
from service.cache.coalescing import Landed
from service.cache.fill_result import (
    NewRecord,
    Preview,
    Renewed,
    Reused,
    StaleInstead,
    StoredMeanwhile,
    Unstored,
    WithRecord,
)
from service.cache.flights import Flights
from service.cache.picture_state import Fresh, HitForMiss, Missing, NoStore, PictureStates, Stale, Unconfirmed
from service.cache.record_answers import RecordAnswers
from service.errors import CodecFailed, DamagedBitstream, QueueFull
from service.metrics.outcomes import Outcome
from service.metrics.telemetry import Telemetry
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.grant import Found
from service.records.lookup import Lookup
from service.records.record import Record
from service.upstream.source import Source


class EdgeCache:
    """Answers requests for pictures and latents: from the store, by a fill, or directly from the origin."""

    def __init__(
        self,
        states: PictureStates,
        flights: Flights,
        *,
        from_record: RecordAnswers,
        bypass: Bypass,
        after_hit: AfterHit,
        telemetry: Telemetry,
    ) -> None:
        self._states = states
        self._flights = flights
        self._from_record = from_record
        self._bypass = bypass
        self._after_hit = after_hit
        self._telemetry = telemetry

    async def answer(self, asked: Asked, timings: Timings) -> Answer:
        """Return the answer to one request. Raises EdgeError with the status for the client."""
        with timings.measure("store"):
            state = await self._states.look(asked)
        match state:
            case Fresh(found):
                return await self._answer_fresh(found, asked, timings)
            case Stale(found, reason):
                return await self._answer_stale(found, reason, asked, timings)
            case Missing(lookup):
                return await self._answer_after_fill(asked, lookup, timings)
            case HitForMiss(lookup, forwarded):
                return await self._answer_hit_for_miss(asked, lookup, timings, forwarded=forwarded)
            case Unconfirmed(record):
                return await self._answer_unconfirmed(record, asked, timings)
            case NoStore():
                return await self._answer_without_store(asked, timings)

    def forget(self, image_id: str) -> None:
        """Let new requests for a purged picture start a new fill, and clear its back-off after a failed validation."""
        self._flights.forget(self._states.primary_key(image_id))
        self._states.clear_back_off(image_id)

    async def close(self, *, within_s: float) -> None:
        """Wait up to `within_s` seconds for fills to end, then cancel them."""
        await self._flights.close(within_s=within_s)

    async def _answer_fresh(self, found: Found, asked: Asked, timings: Timings) -> Answer:
        try:
            answer = await self._from_record.answer(found.record, asked, timings, outcome=Outcome.HIT)
        except DamagedBitstream as error:
            return await self._answer_instead(found, error, asked, timings)
        self._telemetry.requests.add_avoided_bytes(found.record.source_bytes)
        self._after_hit.offer(found, asked, answer)
        return answer

    async def _answer_stale(self, found: Found, reason: Reason, asked: Asked, timings: Timings) -> Answer:
        if reason is Reason.STALE_WHILE_REVALIDATE:
            self._flights.begin(asked, found.lookup)
        try:
            answer = await self._from_record.answer(found.record, asked, timings, outcome=Outcome.STALE)
        except DamagedBitstream as error:
            return await self._answer_instead(found, error, asked, timings)
        return replace(answer, detail=reason)

    async def _answer_instead(self, found: Found, error: DamagedBitstream, asked: Asked, timings: Timings) -> Answer:
        """Count a record whose bitstream cannot be decoded, fill the picture again, and answer from the result."""
        self._telemetry.store.count_record_fault(error.reason)
        return await self._answer_after_fill(asked, found.lookup, timings, instead_of=found.record)

    async def _answer_after_fill(
        self, asked: Asked, lookup: Lookup, timings: Timings, *, instead_of: Record | None = None
    ) -> Answer:
        try:
            landed = await self._flights.fill(asked, lookup, instead_of=instead_of)
        except QueueFull as refused:
            if instead_of is not None:
                raise
            return await self._answer_refused(refused, asked, timings)
        result = landed.value
        if not landed.collapsed:
            timings.stages.extend(result.facts.timings.stages)
        if isinstance(result, Reused):
            return await self._answer_from_preview(result, asked, timings)
        if isinstance(result, Preview | Unstored):
            return await self._answer_from_source(result, asked, timings, collapsed=landed.collapsed)
        try:
            return await self._answer_from_record(Landed(result, collapsed=landed.collapsed), asked, timings)
        except DamagedBitstream as error:
            # Fill once more if the latent is from the store or the parent: only its checksum has been verified. A
            # latent that this edge has just encoded would fail again.
            encoded_here = isinstance(result, NewRecord) and isinstance(result.delivered, Source)
            if not encoded_here and instead_of is None:
                self._telemetry.store.count_record_fault(error.reason)
                return await self._answer_after_fill(asked, lookup, timings, instead_of=result.record)
            raise CodecFailed("the bitstream that the fill has just stored cannot be decoded") from error

    async def _answer_refused(self, refused: QueueFull, asked: Asked, timings: Timings) -> Answer:
        """Answer with the stale picture whose validation a full queue refused (RFC 5861 4), or raise `refused`."""
        match await self._states.look(asked, may_validate=False):
            case Fresh(found):
                return await self._answer_fresh(found, asked, timings)
            case Stale(found, reason):
                return await self._answer_stale(found, reason, asked, timings)
        raise refused

    async def _answer_from_record(self, landed: Landed[WithRecord], asked: Asked, timings: Timings) -> Answer:
        result, outcome = landed.value, _outcome(landed)
        answer = await self._from_record.answer(result.record, asked, timings, outcome=outcome)
        if outcome is Outcome.MISS and isinstance(result, NewRecord):
            answer = replace(
                answer, age=result.delivered.fields.age
            )  # this request was forwarded, so it gets the origin's Age
        forwarded = None if outcome is Outcome.HIT else result.facts.forwarded
        detail = None if forwarded is not None and forwarded.detail else answer.detail
        return replace(
            answer,
            forwarded=forwarded,
            origin_status=result.facts.origin_status,
            collapsed=landed.collapsed or (isinstance(result, StoredMeanwhile) and result.waited),
            stored=isinstance(result, NewRecord | Renewed) and bool(result.stored_at) and not landed.collapsed,
            detail=Reason.STALE_IF_ERROR if isinstance(result, StaleInstead) else detail,
        )

    async def _answer_from_source(
        self, result: Preview | Unstored, asked: Asked, timings: Timings, *, collapsed: bool
    ) -> Answer:
        source, obstacle = result.source, result.source.storage.obstacle
        # RFC 9111 5.2.2.5 and 5.2.2.7: a response that may not be stored is only for the client that asked for it.
        shares = collapsed and obstacle is None
        if collapsed and not shares:
            source = await self._bypass.fetch(asked, timings, forwarded=result.facts.forwarded)
        answer = await self._bypass.answer(source, asked, timings)
        outcome = (
            Outcome.BYPASS if obstacle is not None else Outcome.COLLAPSED if shares else _outcome_uncollapsed(result)
        )
        why = result.why if isinstance(result, Unstored) and obstacle is None else Reason.SOURCE
        return replace(
            answer,
            outcome=outcome,
            forwarded=result.facts.forwarded,
            origin_status=result.facts.origin_status,
            collapsed=shares,
            detail=source.storage.obstacle or why,
        )

    async def _answer_from_preview(self, result: Reused, asked: Asked, timings: Timings) -> Answer:
        answer = await self._bypass.answer_later(result.preview.source, asked, timings)
        if result.why_stale is None:
            self._telemetry.requests.add_avoided_bytes(result.preview.source.prepared.source_bytes)
            return replace(answer, outcome=Outcome.HIT, detail=Reason.SOURCE)
        failed = result.why_stale is Reason.STALE_IF_ERROR
        return replace(
            answer,
            outcome=Outcome.STALE,
            forwarded=result.facts.forwarded if failed else None,
            origin_status=result.facts.origin_status if failed else None,
            detail=result.why_stale,
        )

    async def _answer_hit_for_miss(
        self, asked: Asked, lookup: Lookup, timings: Timings, *, forwarded: Reason
    ) -> Answer:
        source = await self._bypass.fetch_hit_for_miss(asked, lookup, timings, forwarded=forwarded)
        answer = await self._bypass.answer(source, asked, timings)
        return replace(answer, forwarded=forwarded, detail=source.storage.obstacle)

    async def _answer_unconfirmed(self, record: Record, asked: Asked, timings: Timings) -> Answer:
        try:
            answer = await self._from_record.answer(record, asked, timings, outcome=Outcome.HIT)
        except DamagedBitstream:
            return await self._answer_without_store(asked, timings)
        self._telemetry.requests.add_avoided_bytes(record.source_bytes)
        return replace(answer, detail=Reason.UNCONFIRMED)

    async def _answer_without_store(self, asked: Asked, timings: Timings) -> Answer:
        source = await self._flights.fetch(asked, timings)
        answer = await self._bypass.answer(source, asked, timings)
        return replace(answer, forwarded=Reason.STORE_UNAVAILABLE)


def _outcome_uncollapsed(result: Preview | Unstored) -> Outcome:
    confirmed = result.facts.origin_status == HTTPStatus.NOT_MODIFIED
    return Outcome.REVALIDATED if confirmed else Outcome.MISS


def _outcome(landed: Landed[WithRecord]) -> Outcome:
    match landed.value:
        case StaleInstead():
            return Outcome.STALE
        case _ if landed.collapsed:
            return Outcome.COLLAPSED
        case StoredMeanwhile(waited=waited):
            return Outcome.COLLAPSED if waited else Outcome.HIT
        case Renewed():
            return Outcome.REVALIDATED
        case NewRecord():
            return Outcome.MISS
