"""Fill one miss: origin -> picture -> latent -> record in the store. Runs inside a flight; answers no request.

The steps of a fill are: wait for a turn, take the lease, look again, fetch, read and resize, encode, store. Requests
that wait for the fill continue after the last step. A fill validates a stale record with the origin. If the origin
confirms it, or sends the same file, the record is stored again with new dates, and nothing is encoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from service.cache.fill_result import (
    Failed,
    FillFacts,
    FillResult,
    NewRecord,
    Preview,
    Renewed,
    Reused,
    StaleInstead,
    StoredMeanwhile,
    Unstored,
)
from service.cache.fill_storage import FillStorage
from service.cache.fill_work import Show, Unfit, Work
from service.cache.new_record import is_the_same
from service.cache.stale_wait import ShowStale, StaleRules, StaleWait
from service.errors import (
    OriginError,
    RecordError,
    RecordOfOthers,
    SourceError,
    StoreUnavailable,
    note_forward_reason,
)
from service.reason import Reason
from service.records.demoted import is_demoted
from service.records.grant import Found, PurgePoint
from service.records.lease import Lease, Leases, Standing
from service.records.lookup import Lookup
from service.records.record import Record
from service.records.record_store import RecordStore
from service.records.renewal import Confirmed, merge
from service.records.staleness import Use, may_stand_in, use_of
from service.rules.origin_refused import OriginRefused
from service.upstream.intake import Delivered
from service.upstream.source import Terms
from service.upstream.upstream import Upstream


class Filler:
    """Fetches, encodes and stores pictures that are missing, and validates stale ones, one in each call of `fill`."""

    def __init__(
        self,
        record_store: RecordStore,
        leases: Leases,
        upstream: Upstream,
        *,
        storage: FillStorage,
        stale_rules: StaleRules,
        now: Callable[[], float],
    ) -> None:
        self._record_store = record_store
        self._leases = leases
        self._upstream = upstream
        self._storage = storage
        self._stale_rules = stale_rules
        self._now = now

    async def fill(
        self,
        lookup: Lookup,
        terms: Terms,
        *,
        show_stale: ShowStale,
        unfit: Unfit,
        show: Show | None = None,
    ) -> FillResult:
        """Fill one picture and return the result. Raises EdgeError with the status for the clients.

        `lookup` is a lookup that found no usable record, or one that is `unfit`. `show` is called with the source's
        pixels as soon as they have been read; the encode then runs in the background. `show_stale` is called with a
        stale record whose validation takes longer than EDGE_STALE_WAIT_S.
        """
        with StaleWait(self._stale_rules.wait_s, show_stale, now=self._now) as wait:
            result = await self._fill(lookup, terms, unfit, show, wait)
        if not wait.has_shown:
            return result
        return replace(result, facts=replace(result.facts, in_background=True))

    async def _fill(self, lookup: Lookup, terms: Terms, unfit: Unfit, show: Show | None, wait: StaleWait) -> FillResult:
        line, forwarded = self._leases.line(lookup.lease), lookup.miss
        while True:
            async with line.lease() as lease:
                work = await self._begin(Work(lookup, terms, lease, show), unfit)
                wait.note(work)
                if work.is_in_place:
                    if work.known is not None and self._is_usable(work.known.record, lease):
                        facts = FillFacts(work.timings, terms.fields, forwarded)
                        return StoredMeanwhile(facts, work.known.record, waited=line.waited)
                    if lease.may_fill and not work.is_beside:
                        return await self._ask(work)
            if work.is_beside:  # no lease is needed: the result stays in this process and is not written to the store
                return await self._ask(work)
            if work.is_in_place:
                await line.wait(lease)
            lookup, forwarded, line = work.lookup, work.forwarded, line.of(work.lookup.lease)

    async def purge_point(self, lookup: Lookup) -> PurgePoint:
        """Return the latest purges that concern this picture, for a later check whether another purge has come."""
        return await self._record_store.purge_point(lookup)

    def now_s(self) -> float:
        """Return the present Unix time, by which freshness is calculated."""
        return self._now()

    def may_still_be_shown(self, result: StaleInstead) -> bool:
        """Return whether a stale record may be served instead of an error at this time."""
        return may_stand_in(result.record, now_s=self._now())

    def needs_validation(self, result: FillResult, *, asked_s: float) -> bool:
        """Return whether a fill fetched a stale picture before the time of a request, `asked_s` (RFC 9111 4).

        The origin must then confirm the picture before it may answer that request.
        """
        if not isinstance(result, NewRecord) or asked_s < result.delivered.fields.answered_s:
            return False
        return use_of(result.record, now_s=self._now()) is Use.AFTER_VALIDATION

    async def is_outdated(self, result: FillResult) -> bool:
        """Return whether a purge by tag or of all pictures came after the fill began, and may concern its result."""
        match result:
            case Preview(grant=grant) | Reused(preview=Preview(grant=grant)):
                return grant is not None and await self._record_store.writes.is_over(grant)
            case Unstored(fenced=fenced):
                return fenced
            case Failed():
                return False
            case NewRecord() | Renewed():
                return result.fenced or await self._record_store.is_purged(result.record, soft=True)
            case StoredMeanwhile() | StaleInstead():  # not soft purges: one may have come before the fill began
                return await self._record_store.is_purged(result.record, soft=False)

    def _is_usable(self, known: Record, lease: Lease) -> bool:
        use = use_of(known, now_s=self._now())
        # While another process validates the picture, serve the stale one if stale-while-revalidate allows it.
        return use is Use.FRESH or (use is Use.WHILE_REVALIDATING and lease.standing is Standing.ANOTHERS)

    async def _begin(self, work: Work, unfit: Unfit) -> Work:
        found: Found | Reason
        beside = b""
        try:
            # Read the purges from the store: by the copy in this process, which may be outdated, a purged picture would
            # be taken for usable.
            purges = await self._record_store.purges()
            work = replace(work, lookup=await self._record_store.lookup(work.lookup.image_id, work.terms.fields))
            found = await self._record_store.look(work.lookup, purges)
        except StoreUnavailable:
            return replace(work, forwarded=Reason.STORE_UNAVAILABLE)
        except RecordOfOthers as others:
            found, beside = others.reason, others.value
        except RecordError as error:  # not counted here, because the request's first lookup has counted it
            found = error.reason
        if isinstance(found, Found) and found.is_own:
            beside = found.value
        if isinstance(found, Found) and (why := unfit.why(found.record)) is not None:
            work, found = replace(work, demoted=found if why is Reason.DEMOTED else None), why
        return work.begin(found, generation=purges.latest, beside=beside)

    async def _ask(self, work: Work) -> FillResult:
        with note_forward_reason(work.forwarded):
            if work.known is None:
                return await self._storage.admit(work, await self._fetch(work))
            return await self._validate(work, work.known)

    async def _ask_upstream(self, work: Work, known: Record | None = None) -> Delivered:
        # End the fill's turn when the origin is slow, or has answered: waiting for it, and encodes, have other limits.
        end_turn = work.lease.end_turn
        delivered = await self._upstream.ask(work.lookup.image_id, work.terms, work.timings, known, on_slow=end_turn)
        end_turn()
        return delivered

    async def _validate(self, work: Work, known: Found) -> FillResult:
        """Validate a stale record with the origin (RFC 9111 4.3)."""
        try:
            answered = await self._ask_upstream(work, known.record)
        except (OriginError, SourceError) as error:
            if isinstance(error, SourceError) or (isinstance(error, OriginRefused) and error.is_final):
                # RFC 9111 4: the most recent response counts, also for the requests after this one.
                await self._record_store.writes.supersede(known, error, work.grant)
                raise
            return self._show_stale(known.record, error, work)
        if isinstance(answered, Confirmed):
            fields = self._upstream.limit_by_redirects(merge(known.record, answered.fields))
            facts = replace(work.facts, origin_status=HTTPStatus.NOT_MODIFIED)
            storage = self._upstream.storage(work.lookup.image_id, fields)
            return await self._storage.renew(work, known, fields, storage, facts)
        if is_the_same(answered, known.record) and not is_demoted(known.record):
            return await self._storage.renew(work, known, answered.fields, answered.storage, work.facts)
        return await self._storage.admit(work, answered)

    async def _fetch(self, work: Work) -> Delivered:
        try:
            return await self._ask_upstream(work)
        except (OriginRefused, SourceError) as error:
            if work.demoted is not None:
                if isinstance(error, SourceError) or error.is_final:  # RFC 9111 4, as for a validation
                    await self._record_store.writes.supersede(work.demoted, error, work.grant)
                raise
            over = work.forwarded in {Reason.DAMAGED_RECORD, Reason.FOREIGN_RECORD}
            await self._record_store.writes.remember(error, work.grant, over=over)
            raise

    def _show_stale(self, known: Record, error: OriginError, work: Work) -> StaleInstead:
        """Return the stale record to serve instead of an error that is not final (RFC 5861 4).

        Raises the error if stale-if-error does not allow that.
        """
        self._stale_rules.hold_off.begin(work.lookup.image_id)
        if not may_stand_in(known, now_s=self._now()):
            raise error
        status = error.status if isinstance(error, OriginRefused) else None
        return StaleInstead(replace(work.facts, origin_status=status), known)
