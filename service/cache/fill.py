"""The work of one miss: origin -> picture -> latent -> record in the store. Runs inside a flight; answers nobody.

A fill has these steps in this order; whoever waits for it wakes only after the last:
take the lease, look again, fetch, read and resize, encode, store. Of a stale record the origin is asked whether it is
still good: if so, or if the file is the same, it is stored again under new dates and nothing is encoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from service.cache.encoder import Encoder
from service.cache.fill_result import Filled, Show, Work
from service.cache.hold_off import HoldOff
from service.cache.new_record import is_the_same, recorded
from service.errors import (
    EdgeError,
    OriginError,
    QueueFull,
    RecordError,
    RecordOfOthers,
    StoreUnavailable,
    forwarded_because,
)
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.lease import Lease, Leases, Standing
from service.records.lookup import Lookup
from service.records.record import Record
from service.records.record_store import Found, RecordStore
from service.records.renewal import Confirmed, merged, renewed
from service.records.staleness import Use, may_stand_in, use_of
from service.rules.freshness import Storage
from service.rules.origin_refused import OriginRefused
from service.rules.response_fields import ResponseFields
from service.upstream.intake import Delivered, without_file
from service.upstream.source import Latent, Source, Terms
from service.upstream.upstream import Upstream


class Filler:
    """Fills the store, one picture at a time."""

    def __init__(
        self,
        record_store: RecordStore,
        leases: Leases,
        upstream: Upstream,
        *,
        encoder: Encoder,
        hold_off: HoldOff,
        now: Callable[[], float],
    ) -> None:
        self._record_store = record_store
        self._leases = leases
        self._upstream = upstream
        self._encoder = encoder
        self._hold_off = hold_off
        self._now = now

    def home(self, image_id: str) -> bytes:
        """The key of a picture."""
        return self._record_store.home(image_id)

    async def lookup(self, image_id: str, terms: Terms) -> Lookup:
        """Where the record for a request lies. Raises StoreUnavailable."""
        return await self._record_store.lookup(image_id, terms.fields)

    async def look(self, lookup: Lookup) -> Found | Reason:
        """Return a record that can be used now, or why there is none.

        Raises StoreUnavailable, RecordError, or the error that is remembered.
        """
        return await self._record_store.look(lookup)

    def use_of(self, record: Record, image_id: str) -> Use:
        """How this record may be used now."""
        return use_of(record, now_s=self._now(), held_off=self._hold_off.holds(image_id))

    def forget_failure(self, image_id: str) -> None:
        """The origin may be asked for it again."""
        self._hold_off.end(image_id)

    @property
    def shows(self) -> bool:
        """Whether a fill shows what it brings before it is encoded."""
        return self._encoder.source_first

    def note(self, lookup: Lookup) -> None:
        """Someone asked for a picture that is not there, or not good."""
        self._encoder.note(lookup.key)

    async def fill(
        self, lookup: Lookup, terms: Terms, *, instead_of: Record | None = None, show: Show | None = None
    ) -> Filled:
        """The whole miss. `lookup` is where it was looked for, `instead_of` a record that turned out to be unusable.

        Raises what the client is told. With `show`, the picture is shown as soon as it is there, and encoded behind
        those who have seen it.
        """
        line, forwarded = self._leases.line(lookup.lease), lookup.miss
        while True:
            async with line.lease() as lease:
                work = await self._begun(Work(lookup, terms, lease, show), instead_of)
                if work.is_in_place:
                    if work.known is not None and self._is_good(work.known.record, lease):
                        return _found(work, work.known.record, forwarded=forwarded, waited=line.waited)
                    if lease.may_fill and not work.is_beside:
                        return await self._filled(work)
            if work.is_beside:  # the lease is for those who can write
                return await self._filled(work)
            if work.is_in_place:
                await line.wait(lease)
            lookup, forwarded, line = work.lookup, work.forwarded, line.of(work.lookup.lease)

    async def is_outdated(self, filled: Filled) -> bool:
        """Whether a purge has come since the fill began, so that who asks after the purge needs another."""
        if filled.is_preview:
            return filled.grant is not None and await self._record_store.is_over(filled.grant)
        if filled.fenced or filled.record is None:
            return filled.fenced
        is_new = not (filled.found or filled.failed)  # else it may have been stale before
        return await self._record_store.is_purged(filled.record, soft=is_new)

    async def fetch(self, image_id: str, terms: Terms, timings: Timings, *, forwarded: Reason) -> Source:
        """Return the picture as the origin has it, for a request that nothing is stored for, and for this reason."""
        with forwarded_because(forwarded):
            return await self._upstream.fetch(image_id, terms, timings)

    async def is_passed(self, lookup: Lookup) -> bool:
        """Whether everybody is to `fetch_passed` it for themselves at present."""
        return await self._leases.is_passed(lookup.lease)

    async def fetch_passed(self, lookup: Lookup, terms: Terms, timings: Timings, *, forwarded: Reason) -> Source:
        """Fetch a picture that is marked as passed. The mark goes when the origin says something else of it."""
        try:
            source = await self.fetch(lookup.image_id, terms, timings, forwarded=forwarded)
        except EdgeError:  # not CancelledError: a client that leaves says nothing of the picture
            await self._leases.no_longer_passed(lookup.lease)
            raise
        if source.storage.obstacle is None:
            await self._leases.no_longer_passed(lookup.lease)
        return source

    def _is_good(self, known: Record, lease: Lease) -> bool:
        use = use_of(known, now_s=self._now())
        # What may be shown during a validation is shown during that of another process too.
        return use is Use.FRESH or (use is Use.WHILE_REVALIDATING and lease.standing is Standing.ANOTHERS)

    async def _begun(self, work: Work, instead_of: Record | None) -> Work:
        found: Found | Reason
        beside = b""
        try:
            purges = (
                await self._record_store.purges()
            )  # of the store: of a purge that is seen too late nothing may come back
            work = replace(work, lookup=await self._record_store.lookup(work.lookup.image_id, work.terms.fields))
            found = await self._record_store.look(work.lookup, purges)
        except StoreUnavailable:
            return replace(work, forwarded=Reason.STORE_UNAVAILABLE)
        except RecordOfOthers as others:
            found, beside = others.reason, others.value
        except RecordError as error:  # the request that looked first has counted it
            found = error.reason
        if isinstance(found, Found) and found.is_own:
            beside = found.value
        if isinstance(found, Found) and instead_of is not None and found.record.bitstream == instead_of.bitstream:
            found = Reason.DAMAGED_RECORD
        return work.granted(found, generation=purges.latest, beside=beside)

    async def _filled(self, work: Work) -> Filled:
        with forwarded_because(work.forwarded):
            return await self._asked(work)

    async def _asked(self, work: Work) -> Filled:
        if work.known is None:
            return await self._new(work, await self._fetched(work))
        known = work.known.record
        try:
            answered = await self._upstream.ask(work.lookup.image_id, work.terms, work.timings, known)
        except OriginError as error:
            return self._failed(known, error, work)
        if isinstance(answered, Confirmed):
            fields = self._upstream.settled(merged(known, answered.fields))
            confirmed = await self._confirmed(work, work.known, fields, self._upstream.storage(fields))
            return replace(confirmed, origin_status=HTTPStatus.NOT_MODIFIED)
        if is_the_same(answered, known):
            confirmed = await self._confirmed(work, work.known, answered.fields, answered.storage)
            return replace(confirmed, origin_status=HTTPStatus.OK)
        return await self._new(work, answered)

    async def _fetched(self, work: Work) -> Delivered:
        try:
            return await self._upstream.ask(work.lookup.image_id, work.terms, work.timings)
        except OriginRefused as refused:
            over = work.forwarded in {Reason.DAMAGED_RECORD, Reason.FOREIGN_RECORD}
            await self._record_store.remember(refused, work.grant, over=over)
            raise

    async def _new(self, work: Work, delivered: Delivered) -> Filled:
        assert not isinstance(delivered, Confirmed), "nothing was known that could be confirmed"
        if delivered.storage.obstacle is not None:
            work.lease.pass_on()
            if work.known is not None:  # RFC 9111 4: the most recent answer counts, and it may not be shown again
                await self._record_store.drop(work.known)
            return work.brought(source=await self._upstream.as_source(delivered, work.terms))
        if isinstance(delivered, Latent):
            return await self._put(work.brought(latent=delivered), delivered, delivered.bitstream, work)
        if work.known is None and not self._encoder.admits(work.lookup.key):
            return await self._skipped(work.brought(source=delivered), Reason.NOT_ADMITTED)
        if work.show is None:
            return await self._encoded(work, delivered)
        return await self._encoded_behind(work, without_file(delivered), work.show)

    async def _encoded(self, work: Work, delivered: Source) -> Filled:
        try:
            with work.timings.measured("encode"):
                bitstream = await self._encoder.encode(delivered.prepared.high)
        except QueueFull as refused:  # the source is here: showing it is cheap, and another edge can encode it itself
            return await self._skipped(work.brought(source=delivered), refused.reason)
        source = without_file(delivered)
        return await self._put(work.brought(source=source), source, bitstream, work)

    async def _encoded_behind(self, work: Work, source: Source, show: Show) -> Filled:
        show(work.brought(source=source))
        behind = replace(work, timings=Timings())
        filled = replace(behind.brought(source=source), behind=True)
        try:
            with behind.timings.measured("encode"):
                bitstream = await self._encoder.encode_behind(source.prepared.high)
        except QueueFull as refused:
            return await self._skipped(filled, refused.reason)
        return await self._put(filled, source, bitstream, work)

    async def _skipped(self, filled: Filled, why: Reason) -> Filled:
        fenced = filled.grant is not None and await self._record_store.is_over(filled.grant)
        return replace(filled, skipped=why, fenced=fenced)

    async def _put(self, filled: Filled, delivered: Source | Latent, bitstream: bytes, work: Work) -> Filled:
        image_id, now_s = work.lookup.image_id, self._now()
        record = recorded(delivered, bitstream, image_id=image_id, generation=work.generation, now_s=now_s)
        return _stored(replace(filled, record=record), await self._record_store.put(record, work.grant), work)

    def _failed(self, known: Record, error: OriginError, work: Work) -> Filled:
        """RFC 5861 4: what is stale is better than an error, but a picture that is gone is gone."""
        status = error.status if isinstance(error, OriginRefused) else None
        if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise error
        self._hold_off.begin(work.lookup.image_id)
        if not may_stand_in(known, now_s=self._now()):
            raise error
        return replace(work.brought(), record=known, failed=True, origin_status=status)

    async def _confirmed(self, work: Work, known: Found, fields: ResponseFields, storage: Storage) -> Filled:
        """The latent is as good as before: its dates are renewed, and nothing is encoded."""
        # A record of an earlier version gets its id now.
        named = replace(known.record, image_id=work.lookup.image_id)
        record = renewed(named, fields, storage, generation=work.generation)
        filled = replace(work.brought(), record=record)
        if storage.obstacle is not None or work.grant is None:
            return filled
        return _stored(filled, await self._record_store.renew(known, record, work.grant), work)


def _found(work: Work, record: Record, *, forwarded: Reason, waited: bool) -> Filled:
    return Filled(work.timings, work.terms.fields, record=record, forwarded=forwarded, found=True, waited=waited)


def _stored(filled: Filled, lookup: Lookup | None, work: Work) -> Filled:
    """Whether it was: something else may have come in between."""
    if lookup is None:
        return replace(filled, fenced=work.grant is not None)
    if work.is_beside:
        return filled
    return replace(filled, stored_at=lookup.key)
