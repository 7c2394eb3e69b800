"""The work of one miss: origin -> picture -> latent -> record in the store. Runs inside a flight; answers nobody.

A fill has these steps in this order; whoever waits for it wakes only after the last:
look again, fetch, read and resize, encode, store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

from models.bitstream import parse
from service.cache import freshness
from service.cache.freshness import FreshnessRules, Storage
from service.cache.origin_fields import OriginFields
from service.cache.record import ETAG_CAP_BYTES, Record, all_fit, fits, pack, record_key, unpack
from service.cache.refusal import Refusal, is_refusal, pack_refusal, unpack_refusal
from service.cache.source import Source, prepare
from service.errors import ForeignRecord, OriginRefused, RecordError, StoreUnavailable
from service.origin.client import OriginClient
from service.quality import Quality
from service.render.codec_worker import CodecWorker
from service.render.image_file import ImageLimits
from service.store.latent_store import LatentStore
from service.telemetry import Timings

# Assumed: so many files are in memory at most, on their way from the origin or waiting to be read.
SOURCES = 64


@dataclass(frozen=True, slots=True)
class FillRules:
    """What the operator decides about fills."""

    origin: str
    quality: Quality
    freshness: FreshnessRules
    image_limits: ImageLimits


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill came to: a record, found or made from a source, or a source whose picture may not be stored."""

    timings: Timings
    record: Record | None = None
    found: bool = False
    """Another fill had stored it a moment ago."""
    stored: bool = False
    source: Source | None = None


class Filler:
    """Fills the store, one picture at a time."""

    def __init__(
        self,
        rules: FillRules,
        *,
        store: LatentStore,
        origin: OriginClient,
        worker: CodecWorker,
        threads: Executor,
        now: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._store = store
        self._origin = origin
        self._worker = worker
        self._threads = threads
        self._now = now
        self._sources = asyncio.Semaphore(SOURCES)

    def key(self, image_id: str) -> bytes:
        """Where the store holds this picture."""
        return record_key(image_id, origin=self._rules.origin)

    async def look(self, image_id: str) -> Record | None:
        """A record that can be used now. Raises StoreUnavailable, RecordError, or the error that is remembered."""
        value = await self._store.get(self.key(image_id))
        if value is None:
            return None
        if is_refusal(value):
            self._recall(unpack_refusal(value))
            return None
        record = unpack(value)
        if record.stream_id != self._worker.codec.stream_id:
            raise ForeignRecord(f"stream id {record.stream_id.hex()}")
        left_s = freshness.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=self._now())
        return record if left_s > 0 else None

    async def fill(self, image_id: str, *, instead_of: Record | None = None) -> Filled:
        """The whole miss. `instead_of` is a record that turned out to be unusable. Raises what the client is told."""
        timings = Timings()
        if (record := await self._look_again(image_id)) is not None and record != instead_of:
            return Filled(timings, record=record, found=True)
        try:
            source = await self.fetch(image_id, timings)
        except OriginRefused as refused:
            await self._remember(image_id, refused)
            raise
        if source.storage.obstacle is not None:
            return Filled(timings, source=source)
        with timings.measured("encode"):
            bitstream = await self._worker.encode(source.prepared.high, quality=self._rules.quality)
        record = self._record(source, bitstream)
        return Filled(timings, record=record, stored=await self._put(image_id, record), source=source)

    async def fetch(self, image_id: str, timings: Timings) -> Source:
        """The picture as the origin has it, in both sizes."""
        async with self._sources:
            with timings.measured("origin"):
                fetched = await self._origin.fetch(image_id)
            with timings.measured("source"):
                fields = freshness.dated(fetched.fields)
                keep = not freshness.may_be_transformed(fields.passed)
                prepared = await asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: prepare(fetched.body, self._rules.image_limits, keep=keep)
                )
        return Source(fields, prepared, self._storage(fields))

    async def _look_again(self, image_id: str) -> Record | None:
        try:
            return await self.look(image_id)
        except (StoreUnavailable, RecordError):
            return None  # whoever looked first told of it

    def _recall(self, refusal: Refusal) -> None:
        now_s = self._now()
        left_s = freshness.remaining_s(born_ms=refusal.born_ms, lifetime_s=refusal.lifetime_s, now_s=now_s)
        if left_s > 0:
            age = str(freshness.age_s(born_ms=refusal.born_ms, now_s=now_s))
            fields = OriginFields(asked_s=now_s, answered_s=now_s, passed=refusal.passed, age=age)
            raise OriginRefused(refusal.status, fields, ttl_s=left_s)

    async def _remember(self, image_id: str, refused: OriginRefused) -> None:
        fields = freshness.dated(refused.fields)
        refusal = Refusal(
            status=refused.status,
            born_ms=_born_ms(fields),
            lifetime_s=freshness.refusal_lifetime_s(refused.status, fields, self._rules.freshness),
            passed=fields.passed,
        )
        left_s = freshness.remaining_s(born_ms=refusal.born_ms, lifetime_s=refusal.lifetime_s, now_s=self._now())
        if left_s > 0 and all_fit(refusal.passed):
            with suppress(StoreUnavailable):
                # Only where there is nothing: a picture, even a stale one, is worth more than an error.
                await self._store.add(self.key(image_id), pack_refusal(refusal), ttl_s=left_s)

    def _storage(self, fields: OriginFields) -> Storage:
        if not all_fit(fields.passed):
            return Storage(lifetime_s=0, obstacle="long-field")
        return freshness.storage(fields, self._rules.freshness)

    def _record(self, source: Source, bitstream: bytes) -> Record:
        fields, prepared = source.fields, source.prepared
        return Record(
            bitstream=bitstream,
            born_ms=_born_ms(fields),
            filled_ms=round(self._now() * 1000),
            lifetime_s=source.storage.lifetime_s,
            source_digest=prepared.source_digest,
            source_bytes=prepared.source_bytes,
            conventional_high_bytes=prepared.conventional_high_bytes,
            conventional_medium_bytes=prepared.conventional_medium_bytes,
            stream_id=self._worker.codec.stream_id,
            quality=parse(bitstream).quality,  # a target score leaves it to the codec
            origin_etag=fields.etag if fits(fields.etag, ETAG_CAP_BYTES) else "",
            passed=fields.passed,
        )

    async def _put(self, image_id: str, record: Record) -> bool:
        left_s = freshness.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=self._now())
        if left_s <= 0:
            return False  # the fill took longer than the answer is fresh
        try:
            await self._store.put(self.key(image_id), pack(record), ttl_s=left_s)
        except StoreUnavailable:
            return False
        return True


def _born_ms(fields: OriginFields) -> int:
    return round((fields.answered_s - freshness.initial_age_s(fields)) * 1000)
