"""The work of one miss: origin -> picture -> latent -> record in the store. Runs inside a flight; answers nobody.

A fill has these steps in this order; whoever waits for it wakes only after the last:
look again, fetch, read and resize, encode, store. Of a stale record the origin is asked whether it is still good: if
so, or if the file is the same, it is stored again under new dates and nothing is encoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus

from models.bitstream import parse
from service.cache import freshness
from service.cache.freshness import FreshnessRules, Storage
from service.cache.origin_fields import OriginFields
from service.cache.record import ETAG_CAP_BYTES, Record, all_fit, fits, pack, record_key, unpack
from service.cache.refusal import is_refusal
from service.cache.refusals import Refusals
from service.cache.renewal import Confirmed, merged, renewed
from service.cache.source import Source, prepare
from service.cache.staleness import Use, may_stand_in, use_of
from service.errors import ForeignRecord, OriginError, OriginRefused, RecordError, StoreUnavailable
from service.origin.client import OriginClient
from service.quality import Quality
from service.render.codec_worker import CodecWorker
from service.render.image_file import ImageLimits
from service.store.latent_store import LatentStore
from service.telemetry import Timings

# Assumed: so many files are in memory at most, on their way from the origin or waiting to be read.
SOURCES = 64
# Assumed: a picture that is asked for again within a day is worth its memory, as confirming it takes no encode. What is
# asked for more often keeps its place (volatile-lfu).
CONFIRMED_WITHIN_S = 86_400


@dataclass(frozen=True, slots=True)
class FillRules:
    """What the operator decides about fills."""

    origin: str
    quality: Quality
    freshness: FreshnessRules
    image_limits: ImageLimits


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill came to: a record, found, confirmed or made, or a source whose picture may not be stored."""

    timings: Timings
    record: Record | None = None
    found: bool = False
    """Another fill had stored it a moment ago."""
    stored: bool = False
    source: Source | None = None
    """What was fetched, unless it was what the store has anyway."""
    was_stale: bool = False
    """There was a record, and the origin was asked about it."""
    failed: bool = False
    """The origin gave nothing, and the stale record stands in."""
    origin_status: int | None = None


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
        self._refusals = Refusals(store, rules.freshness, now=now)
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
            self._refusals.recall(value)
            return None
        record = unpack(value)
        if record.stream_id != self._worker.codec.stream_id:
            raise ForeignRecord(f"stream id {record.stream_id.hex()}")
        return record

    async def fill(self, image_id: str, *, instead_of: Record | None = None) -> Filled:
        """The whole miss. `instead_of` is a record that turned out to be unusable. Raises what the client is told."""
        timings = Timings()
        known = await self._look_again(image_id)
        if known is None or known == instead_of:
            return await self._new(image_id, await self._fetched(image_id, timings), timings)
        if use_of(known, now_s=self._now()) is Use.FRESH:
            return Filled(timings, record=known, found=True)
        try:
            answered = await self._asked(image_id, timings, known)
        except OriginError as error:
            return self._failed(known, error, timings)
        if isinstance(answered, Confirmed):
            fields = merged(known, answered.fields)
            confirmed = await self._confirmed(image_id, known, fields, self._storage(fields), timings)
            return replace(confirmed, origin_status=HTTPStatus.NOT_MODIFIED)
        if answered.storage.obstacle is None and answered.prepared.source_digest == known.source_digest:
            confirmed = await self._confirmed(image_id, known, answered.fields, answered.storage, timings)
            return replace(confirmed, origin_status=HTTPStatus.OK)
        return replace(await self._new(image_id, answered, timings), was_stale=True, origin_status=HTTPStatus.OK)

    async def fetch(self, image_id: str, timings: Timings) -> Source:
        """The picture as the origin has it, in both sizes."""
        answered = await self._asked(image_id, timings)
        assert isinstance(answered, Source), "nothing was asked of it that a 304 could answer"
        return answered

    async def _fetched(self, image_id: str, timings: Timings) -> Source:
        try:
            return await self.fetch(image_id, timings)
        except OriginRefused as refused:
            await self._refusals.remember(self.key(image_id), refused)
            raise

    async def _asked(self, image_id: str, timings: Timings, known: Record | None = None) -> Source | Confirmed:
        etag = "" if known is None else known.origin_etag
        last_modified = "" if known is None else known.passed.last_modified
        async with self._sources:
            with timings.measured("origin"):
                fetched = await self._origin.fetch(image_id, etag=etag, last_modified=last_modified)
            fields, body = freshness.dated(fetched.fields), fetched.body
            if body is None:
                return Confirmed(fields)
            with timings.measured("source"):
                keep = not freshness.may_be_transformed(fields.passed)
                prepared = await asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: prepare(body, self._rules.image_limits, keep=keep)
                )
        return Source(fields, prepared, self._storage(fields))

    async def _new(self, image_id: str, source: Source, timings: Timings) -> Filled:
        if source.storage.obstacle is not None:
            return Filled(timings, source=source)
        with timings.measured("encode"):
            bitstream = await self._worker.encode(source.prepared.high, quality=self._rules.quality)
        record = self._record(source, bitstream)
        return Filled(timings, record=record, stored=await self._put(image_id, record), source=source)

    def _failed(self, known: Record, error: OriginError, timings: Timings) -> Filled:
        """RFC 5861 4: what is stale is better than an error, but a picture that is gone is gone."""
        status = error.status if isinstance(error, OriginRefused) else None
        if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise error
        if not may_stand_in(known, now_s=self._now()):
            raise error
        return Filled(timings, record=known, was_stale=True, failed=True, origin_status=status)

    async def _confirmed(
        self, image_id: str, known: Record, fields: OriginFields, storage: Storage, timings: Timings
    ) -> Filled:
        """The latent is as good as before: its dates are renewed, and nothing is encoded."""
        record = renewed(known, fields, storage)
        stored = storage.obstacle is None and await self._renew(image_id, known, record)
        return Filled(timings, record=record, stored=stored, was_stale=True)

    async def _look_again(self, image_id: str) -> Record | None:
        try:
            return await self.look(image_id)
        except (StoreUnavailable, RecordError):
            return None  # whoever looked first told of it

    def _storage(self, fields: OriginFields) -> Storage:
        if not all_fit(fields.passed):
            return Storage(lifetime_s=0, obstacle="long-field")
        return freshness.storage(fields, self._rules.freshness)

    def _record(self, source: Source, bitstream: bytes) -> Record:
        fields, prepared = source.fields, source.prepared
        return Record(
            bitstream=bitstream,
            born_ms=freshness.born_ms(fields),
            filled_ms=round(self._now() * 1000),
            lifetime_s=source.storage.lifetime_s,
            stale_while_revalidate_s=source.storage.stale_while_revalidate_s,
            stale_if_error_s=source.storage.stale_if_error_s,
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
        try:
            await self._store.put(self.key(image_id), pack(record), ttl_s=self._kept_s(record))
        except StoreUnavailable:
            return False
        return True

    async def _renew(self, image_id: str, known: Record, record: Record) -> bool:
        """Only what is still there is renewed, whole: nothing that was evicted or replaced comes back."""
        key = self.key(image_id)
        with suppress(StoreUnavailable, RecordError):
            if await self._store.replace(key, pack(record), instead_of=pack(known), ttl_s=self._kept_s(record)):
                return True
            # A better latent of the same picture may have come in between.
            value = await self._store.get(key)
            now = known if value is None or is_refusal(value) else unpack(value)
            if value is not None and now is not known and now.source_digest == known.source_digest:
                better = replace(record, bitstream=now.bitstream, refinement=now.refinement, quality=now.quality)
                return await self._store.replace(key, pack(better), instead_of=value, ttl_s=self._kept_s(better))
        return False

    def _kept_s(self, record: Record) -> int:
        left_s = freshness.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=self._now())
        return max(0, left_s) + max(record.stale_while_revalidate_s, record.stale_if_error_s, CONFIRMED_WITHIN_S)
