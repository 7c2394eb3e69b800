"""Re-encode latents of the previous weights, in the background after a hit.

    hit -> rate limit -> a mark in the store, so that no other process does the same
        -> fetch the source from upstream again; continue only if it is still the same file
        -> encode -> compare and swap: overwrite exactly that record, or nothing

The record keeps its dates, its expiry and its generation, so every purge of the old latent applies to the new one. If a
purge, a fill or a validation has changed the record meanwhile, the new latent is discarded.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from models.bitstream import parse
from models.screen.stream_ids import SCREEN_STREAM_ID
from service.cache.encoder import Encoder
from service.cache.hold_off import HoldOff
from service.errors import CodecFailed, OriginError, QueueFull, RecordError, SourceError, StoreUnavailable
from service.metrics.latent_counts import RefinementCounts
from service.metrics.outcomes import ReencodeOutcome
from service.metrics.timings import Timings
from service.records.demoted import is_demoted
from service.records.grant import Found
from service.records.record import Record, pack, unpack
from service.records.renewal import Confirmed
from service.records.store_keys import KEY_PREFIX
from service.refine.pace import Pace
from service.refine.refiner import Refiner
from service.store.latent_store import LatentStore, Token
from service.upstream.source import Latent, Source, Terms
from service.upstream.upstream import Upstream

MARK_PREFIX = b"e:"
HOLD_S = 60.0
"""The seconds between two attempts to re-encode the same picture (assumed)."""
SECRET_BYTES = 16


@dataclass(frozen=True, slots=True)
class _New:
    """A new latent for a stored record, made with the weights in use."""

    bitstream: bytes
    refinement: int
    source: Source | None
    """The fetched picture; None where the parent sent a latent."""


class NewLatents:
    """Makes new latents of stored pictures, with the weights in use, from freshly fetched source files."""

    def __init__(self, upstream: Upstream, encoder: Encoder) -> None:
        self._upstream = upstream
        self._encoder = encoder

    @property
    def stream_id(self) -> bytes:
        """The id that the bitstreams of the weights in use carry."""
        return self._encoder.stream_id

    async def make(self, stored: Record, image_id: str, terms: Terms) -> _New | ReencodeOutcome:
        """Return a new latent of the record's source file, or the outcome that says why there is none.

        Raises EdgeError.
        """
        delivered = await self._upstream.ask(image_id, terms, Timings())
        assert not isinstance(delivered, Confirmed), "the request had no condition"
        facts = delivered.facts if isinstance(delivered, Latent) else delivered.prepared.facts
        if delivered.storage.obstacle is not None or facts.source_digest != stored.source_digest:
            return ReencodeOutcome.CHANGED
        if isinstance(delivered, Source):
            bitstream = await self._encoder.encode_in_background(delivered.prepared.high)
            return _New(bitstream, refinement=0, source=delivered)
        if parse(delivered.bitstream).stream_id not in {self._encoder.stream_id, SCREEN_STREAM_ID}:
            return ReencodeOutcome.FAILED
        return _New(delivered.bitstream, facts.refinement, source=None)


class Reencoder:
    """Re-encodes stored records of other weights, at the rate of `pace`. A `pace` of None turns this off."""

    def __init__(
        self,
        pace: Pace | None,
        *,
        store: LatentStore,
        latents: NewLatents,
        refiner: Refiner,
        counts: RefinementCounts,
        now: Callable[[], float],
    ) -> None:
        self._pace = pace
        self._hold_off = HoldOff(HOLD_S)
        self._store = store
        self._latents = latents
        self._refiner = refiner
        self._counts = counts
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, found: Found, terms: Terms) -> None:
        """Re-encode the record of a hit in the background, if it is of other weights and the rate limit allows it."""
        stream_id = found.record.stream_id
        if self._pace is None or stream_id in {self._latents.stream_id, SCREEN_STREAM_ID} or is_demoted(found.record):
            return
        name = found.lookup.key.decode("ascii")
        if self._hold_off.holds(name) or not self._pace.passes():
            return
        self._hold_off.begin(name)
        task = asyncio.create_task(self._reencode(found, terms))
        self._tasks.add(task)
        task.add_done_callback(self._end)

    async def close(self) -> None:
        """Cancel the encodes in the background."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reencode(self, found: Found, terms: Terms) -> None:
        try:
            outcome = await self._outcome(found, terms)
        except QueueFull:
            outcome = ReencodeOutcome.REFUSED
        except (OriginError, SourceError, CodecFailed, RecordError, StoreUnavailable):
            outcome = ReencodeOutcome.FAILED
        self._counts.count_reencode(outcome)

    async def _outcome(self, found: Found, terms: Terms) -> ReencodeOutcome:
        key = found.lookup.key
        if not await self._mark(key):
            return ReencodeOutcome.ELSEWHERE
        stored = unpack(found.value, key)  # with the stored dates: those of `found.record` reflect soft purges
        new = await self._latents.make(stored, found.lookup.image_id, terms)
        if isinstance(new, ReencodeOutcome):
            return new
        record = self._record(stored, new)
        if not await self._store.replace(key, pack(record, key), instead_of=found.value):
            return ReencodeOutcome.SUPERSEDED
        if new.source is not None:
            self._refiner.offer(key, record, new.source.prepared.high)
        return ReencodeOutcome.STORED

    async def _mark(self, key: bytes) -> bool:
        """Mark the picture in the store for HOLD_S. Returns False if another process has marked it."""
        mark = Token(MARK_PREFIX + key.removeprefix(KEY_PREFIX), secrets.token_bytes(SECRET_BYTES))
        return await self._store.take(mark, ttl_ms=round(HOLD_S * 1000)) == mark.secret

    def _record(self, stored: Record, new: _New) -> Record:
        header = parse(new.bitstream)
        return replace(
            stored,
            bitstream=new.bitstream,
            stream_id=header.stream_id,
            quality=header.quality,
            refinement=new.refinement,
            filled_ms=round(self._now() * 1000),
        )

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()
