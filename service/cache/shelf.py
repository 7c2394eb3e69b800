"""The records of one origin in the store: read and judged, written under a lease. Asks no origin, makes no picture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from service.cache import freshness
from service.cache.generations import Generations
from service.cache.purges import Purges
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


@dataclass(frozen=True, slots=True)
class Found:
    """A record that can be used."""

    record: Record
    """As it is to be judged now: see `Purges.applied`."""
    value: bytes
    """As the store holds it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What is written with: a lease, and the latest purge from before the origin was asked."""

    token: Token
    generation: int


class Shelf:
    """Where the pictures of one origin lie."""

    def __init__(
        self,
        store: LatentStore,
        books: Books,
        *,
        generations: Generations,
        refusals: Refusals,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._books = books
        self._generations = generations
        self._refusals = refusals
        self._now = now

    def key(self, image_id: str) -> bytes:
        """Where the store holds this picture."""
        return record_key(image_id, origin=self._books.origin)

    def lease_key(self, image_id: str) -> bytes:
        """And the lease under which it is filled."""
        return lease_key(self.key(image_id))

    async def look(self, image_id: str, purges: Purges | None = None) -> Found | None:
        """A record that can be used now, by these purges or those that are known.

        Raises StoreUnavailable, RecordError, or the error that is remembered.
        """
        value = await self._store.get(self.key(image_id))
        if value is None:
            return None
        purges = purges or await self._generations.current()
        if is_refusal(value):
            self._refusals.recall(value, purges)
            await self._remove(image_id, value)
            return None
        record = unpack(value)
        if record.stream_id != self._books.stream_id:
            raise ForeignRecord(f"stream id {record.stream_id.hex()}")
        if purges.has_removed(record):
            await self._remove(image_id, value)
            return None
        return Found(purges.applied(record, now_s=self._now()), value)

    async def purges(self) -> Purges:
        """As the store has them at this moment. Raises StoreUnavailable."""
        return await self._generations.read()

    async def is_purged(self, record: Record, *, soft: bool) -> bool:
        """Whether a hard purge, or a soft one too, has come after it, as far as can be known."""
        with suppress(StoreUnavailable):
            purges = await self._generations.current()
            return purges.has_removed(record) or (soft and purges.stale_since_ms(record) is not None)
        return False

    async def is_over(self, grant: Grant) -> bool:
        """Whether what was asked of the origin under it is too old by now, as far as can be known."""
        with suppress(StoreUnavailable, RecordError):
            purges = await self._generations.current()
            return purges.latest > grant.generation or await self._store.get(grant.token.lease) != grant.token.secret
        return False

    async def put(self, image_id: str, record: Record, grant: Grant | None) -> bool:
        """Whether it was stored: not without a lease, nor under one that has ended."""
        if grant is None:
            return False
        with suppress(StoreUnavailable):
            return await self._store.put(
                self.key(image_id), pack(record), ttl_s=self._kept_s(record), under=grant.token
            )
        return False

    async def remember(self, image_id: str, refused: OriginRefused, grant: Grant | None) -> None:
        """That the origin has no such picture, for as long as it or the operator says. Only where there is none."""
        if grant is not None:
            key = self.key(image_id)
            await self._refusals.remember(key, refused, under=grant.token, generation=grant.generation)

    async def renew(self, image_id: str, known: Found, record: Record) -> bool:
        """Only what is still there is renewed, whole: nothing that was evicted, purged or replaced comes back."""
        key = self.key(image_id)
        with suppress(StoreUnavailable, RecordError):
            if await self._store.replace(key, pack(record), instead_of=known.value, ttl_s=self._kept_s(record)):
                return True
            # A better latent of the same picture may have come in between.
            value = await self._store.get(key)
            if value is not None and not is_refusal(value) and _is_better(now := unpack(value), known.record):
                better = replace(record, bitstream=now.bitstream, refinement=now.refinement, quality=now.quality)
                return await self._store.replace(key, pack(better), instead_of=value, ttl_s=self._kept_s(better))
        return False

    async def drop(self, image_id: str, known: Found) -> None:
        """What the origin has taken back, unless something else has taken its place."""
        with suppress(StoreUnavailable):
            await self._remove(image_id, known.value)

    async def _remove(self, image_id: str, value: bytes) -> None:
        """What nobody can use any more makes room, for the memory of an error too."""
        await self._store.remove(self.key(image_id), value)

    def _kept_s(self, record: Record) -> int:
        left_s = freshness.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=self._now())
        return max(0, left_s) + max(record.stale_while_revalidate_s, record.stale_if_error_s, CONFIRMED_WITHIN_S)


def _is_better(now: Record, known: Record) -> bool:
    return now.source_digest == known.source_digest and now.generation == known.generation
