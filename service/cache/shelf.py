"""The records of one origin in the store: read and judged, written under a lease. Asks no origin, makes no picture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from service.cache import freshness
from service.cache.record import Record, lease_key, pack, record_key, unpack
from service.cache.refusal import is_refusal
from service.cache.refusals import Refusals
from service.errors import ForeignRecord, OriginRefused, RecordError, StoreUnavailable
from service.store.latent_store import LatentStore, Token

# Assumed: a picture that is asked for again within a day is worth its memory, as confirming it takes no encode. What is
# asked for more often keeps its place (volatile-lfu).
CONFIRMED_WITHIN_S = 86_400


@dataclass(frozen=True, slots=True)
class Books:
    """How the records of one edge are told from others."""

    origin: str
    stream_id: bytes
    """Of the weights that can read them."""


class Shelf:
    """Where the pictures of one origin lie."""

    def __init__(self, store: LatentStore, books: Books, *, refusals: Refusals, now: Callable[[], float]) -> None:
        self._store = store
        self._books = books
        self._refusals = refusals
        self._now = now

    def key(self, image_id: str) -> bytes:
        """Where the store holds this picture."""
        return record_key(image_id, origin=self._books.origin)

    def lease_key(self, image_id: str) -> bytes:
        """And the lease under which it is filled."""
        return lease_key(self.key(image_id))

    async def look(self, image_id: str) -> Record | None:
        """A record that can be used now. Raises StoreUnavailable, RecordError, or the error that is remembered."""
        value = await self._store.get(self.key(image_id))
        if value is None:
            return None
        if is_refusal(value):
            self._refusals.recall(value)
            return None
        record = unpack(value)
        if record.stream_id != self._books.stream_id:
            raise ForeignRecord(f"stream id {record.stream_id.hex()}")
        return record

    async def put(self, image_id: str, record: Record, *, under: Token | None) -> bool:
        """Whether it was stored: not without a lease, nor under one that has ended."""
        if under is None:
            return False
        with suppress(StoreUnavailable):
            return await self._store.put(self.key(image_id), pack(record), ttl_s=self._kept_s(record), under=under)
        return False

    async def remember(self, image_id: str, refused: OriginRefused, *, under: Token | None) -> None:
        """That the origin has no such picture, for as long as it or the operator says."""
        if under is not None:
            await self._refusals.remember(self.key(image_id), refused, under=under)

    async def renew(self, image_id: str, known: Record, record: Record) -> bool:
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
