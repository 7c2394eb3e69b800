"""The records of one origin in the store: read and judged, written under a lease. Asks no origin, makes no picture.

Of a picture that varies, its key holds the rule and other keys hold the variants (see `place`): it takes two reads.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from service.cache import freshness
from service.cache.generations import Generations
from service.cache.known_records import KnownRecords
from service.cache.place import Place
from service.cache.purges import Purges
from service.cache.record import Record, pack, record_key, unpack
from service.cache.refusal import is_refusal
from service.cache.refusals import Refusals
from service.cache.vary import Fields, selecting_names
from service.cache.vary_rule import NONCE_BYTES, VaryRule, is_rule, pack_rule, unpack_rule
from service.errors import ForeignRecord, OriginRefused, RecordError, StoreUnavailable
from service.store.latent_store import Beside, LatentStore, Token

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

    place: Place
    record: Record
    """As it is to be judged now: see `Purges.applied`."""
    value: bytes
    """As the store holds it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What is written with: a lease, where it was to lie, and the latest purge from before the origin was asked."""

    token: Token
    place: Place
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
        self._known_records = KnownRecords()

    def home(self, image_id: str) -> bytes:
        """The key of a picture."""
        return record_key(image_id, origin=self._books.origin)

    async def place(self, image_id: str, fields: Fields) -> Place:
        """Where the record for a request lies, as the store has it now. Raises StoreUnavailable."""
        home = self.home(image_id)
        try:
            held = await self._store.get(home)
        except RecordError:
            return Place(image_id, home, fields, held=b"")  # no record either, as `look` will find
        place = Place(image_id, home, fields, held)
        if held is None or not is_rule(held):
            return place
        with suppress(RecordError):  # likewise
            return place.under(unpack_rule(held))
        return place

    async def look(self, place: Place, purges: Purges | None = None) -> Found | None:
        """A record that can be used now, by these purges or those that are known.

        Raises StoreUnavailable, RecordError, or the error that is remembered.
        """
        value = place.held if place.rule is None else await self._store.get(place.key)
        if value is None:
            return None
        purges = purges or await self._generations.current()
        if is_refusal(value):
            self._refusals.recall(value, purges)
            await self._store.remove(place.key, value)
            return None
        record = self._known_records.read(value)
        if record.stream_id != self._books.stream_id:
            raise ForeignRecord(f"stream id {record.stream_id.hex()}")
        if purges.has_removed(record):
            await self._store.remove(place.key, value)
            return None
        stale_before = 0 if place.rule is None else place.rule.stale_before
        return Found(place, purges.applied(record, now_s=self._now(), stale_before=stale_before), value)

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
        place = grant.place
        with suppress(StoreUnavailable, RecordError):
            purges = await self._generations.current()
            if purges.latest > grant.generation or await self._store.get(grant.token.lease) != grant.token.secret:
                return True
            return place.rule is not None and await self._store.get(place.home) != place.held
        return False

    async def put(self, record: Record, grant: Grant | None) -> Place | None:
        """Where it was stored, if it was: not without a lease, nor under one that has ended.

        It lies where its own Vary says, so it brings the rule along if there is none yet, or another.
        """
        if grant is None:
            return None
        place, ttl_s = self._by_vary(grant.place, record.passed.vary), self._kept_s(record)
        beside = _beside(grant.place, place)
        with suppress(StoreUnavailable):
            if await self._store.put(place.key, pack(record), ttl_s=ttl_s, under=grant.token, beside=beside):
                return place
        return None

    async def remember(self, refused: OriginRefused, grant: Grant | None) -> None:
        """That the origin has no such picture, for as long as it or the operator says. Only where there is none."""
        if grant is None:
            return
        names, known = selecting_names(refused.fields.passed.vary), grant.place.names
        if known and names not in {known, ()}:
            return  # the pictures that are there vary otherwise, and are worth more than an error
        place = grant.place if known else self._by_vary(grant.place, refused.fields.passed.vary)
        beside = _beside(grant.place, place)
        await self._refusals.remember(place.key, refused, under=grant.token, generation=grant.generation, beside=beside)

    async def renew(self, known: Found, record: Record, grant: Grant) -> Place | None:
        """Only what is still there is renewed, whole: nothing that was evicted, purged or replaced comes back."""
        place = known.place
        if selecting_names(record.passed.vary) != place.names:
            return await self.put(record, grant)  # RFC 9111 3.2: it varies otherwise from now on
        with suppress(StoreUnavailable, RecordError):
            if await self._replaced(known, record, known.value):
                return place
            # A better latent of the same picture may have come in between.
            value = await self._store.get(place.key)
            if value is not None and not is_refusal(value) and _is_better(now := unpack(value), known.record):
                better = replace(record, bitstream=now.bitstream, refinement=now.refinement, quality=now.quality)
                return place if await self._replaced(known, better, value) else None
        return None

    async def drop(self, known: Found) -> None:
        """What the origin has taken back, unless something else has taken its place."""
        with suppress(StoreUnavailable):
            await self._store.remove(known.place.key, known.value)

    async def _replaced(self, known: Found, record: Record, value: bytes) -> bool:
        place, ttl_s = known.place, self._kept_s(record)
        beside = _beside(place, place)
        return await self._store.replace(place.key, pack(record), instead_of=value, ttl_s=ttl_s, beside=beside)

    def _by_vary(self, place: Place, vary: str) -> Place:
        """Where what varies so belongs."""
        names = selecting_names(vary)
        if names == place.names:
            return place
        return place.under(VaryRule(names, secrets.token_bytes(NONCE_BYTES)) if names else None)

    def _kept_s(self, record: Record) -> int:
        left_s = freshness.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=self._now())
        return max(0, left_s) + max(record.stale_while_revalidate_s, record.stale_if_error_s, CONFIRMED_WITHIN_S)


def _beside(found: Place, place: Place) -> Beside | None:
    """The rule as it was found, and as it is to be for what lies in this place."""
    if found.rule is None and place.rule is None:
        return None
    was = b"" if found.rule is None or found.held is None else found.held
    return Beside(place.home, was=was, becomes=b"" if place.rule is None else pack_rule(place.rule))


def _is_better(now: Record, known: Record) -> bool:
    return now.source_digest == known.source_digest and now.generation == known.generation
