"""Encode and store the picture that a fill has fetched, give it new dates, or return it unstored. Fetches nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from service.cache.encoder import Encoder
from service.cache.fill_result import FillFacts, FillResult, NewRecord, Preview, Renewed, Unstored
from service.cache.fill_work import Show, Work
from service.cache.new_record import make_record
from service.errors import QueueFull
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.grant import Found
from service.records.granted_writes import GrantedWrites
from service.records.renewal import Confirmed, renew
from service.rules.freshness import Storage
from service.rules.response_fields import ResponseFields
from service.upstream.intake import Delivered
from service.upstream.source import Latent, Source
from service.upstream.upstream import Upstream


class FillStorage:
    """Decides what becomes of the pictures that fills have fetched."""

    def __init__(
        self, writes: GrantedWrites, upstream: Upstream, encoder: Encoder, *, now: Callable[[], float]
    ) -> None:
        self._writes = writes
        self._upstream = upstream
        self._encoder = encoder
        self._now = now

    async def admit(self, work: Work, delivered: Delivered) -> FillResult:
        """Encode and store a new picture if it may be stored and was requested often enough, or return it unstored."""
        assert not isinstance(delivered, Confirmed), "the request had no condition"
        if delivered.storage.obstacle is not None:
            work.lease.mark_hit_for_miss()
            if work.replaced is not None:  # RFC 9111 4: the newest response replaces it, and may not be stored
                await self._writes.drop(work.replaced)
            source = await self._upstream.as_source(delivered)
            return Unstored(work.facts, source, delivered.storage.obstacle)
        if isinstance(delivered, Latent):
            return await self._store(work, delivered, delivered.bitstream, work.facts)
        if work.grant is None:  # do not encode: the latent could not be stored, and resizing costs a tenth of an encode
            return Unstored(work.facts, delivered, Reason.NO_LEASE)
        if work.replaced is None and not self._encoder.admits(work.lookup.key):
            return await self._skip(work, delivered, Reason.NOT_ADMITTED, work.facts)
        if work.show is None:
            return await self._encode(work, delivered)
        return await self._encode_in_background(work, delivered, work.show)

    async def renew(
        self, work: Work, known: Found, fields: ResponseFields, storage: Storage, facts: FillFacts
    ) -> Renewed:
        """Store the record with new dates, without an encode."""
        # A record in an earlier version of the format may lack its image id.
        named = replace(known.record, image_id=work.lookup.image_id)
        record = renew(named, fields, storage, generation=work.generation)
        end = Renewed(facts, record)
        if storage.obstacle is not None or work.grant is None:
            return end
        return work.attach_key(end, await self._writes.renew(known, record, work.grant))

    async def _encode(self, work: Work, delivered: Source) -> FillResult:
        try:
            with work.timings.measure("encode"):
                bitstream = await self._encoder.encode(delivered.prepared.high)
        except QueueFull as refused:  # answer with the source: resizing it is cheap, and a child edge can encode it
            return await self._skip(work, delivered, refused.reason, work.facts)
        return await self._store(work, delivered, bitstream, work.facts)

    async def _encode_in_background(self, work: Work, source: Source, show: Show) -> FillResult:
        show(Preview(work.facts, source, work.grant))
        facts = replace(work.facts, timings=Timings(), in_background=True)
        try:
            with facts.timings.measure("encode"):
                bitstream = await self._encoder.encode_in_background(source.prepared.high)
        except QueueFull as refused:
            return await self._skip(work, source, refused.reason, facts)
        return await self._store(work, source, bitstream, facts)

    async def _skip(self, work: Work, source: Source, why: Reason, facts: FillFacts) -> Unstored:
        fenced = work.grant is not None and await self._writes.is_over(work.grant)
        return Unstored(facts, source, why, fenced=fenced)

    async def _store(self, work: Work, delivered: Source | Latent, bitstream: bytes, facts: FillFacts) -> NewRecord:
        image_id, now_s = work.lookup.image_id, self._now()
        record = make_record(delivered, bitstream, image_id=image_id, generation=work.generation, now_s=now_s)
        stored = await self._writes.put(record, work.grant)
        return work.attach_key(NewRecord(facts, record, delivered), stored)
