"""The records of one origin in the store: read and judged, written under a lease. Asks no origin, makes no picture.

What belongs to edges of another release (see `record_reader`) is never overwritten. Such a picture is filled for this
process alone (see `own_records`), and what was filled counts for as long as the store holds the same string.

Of a picture that varies, its key holds the rule and other keys hold the variants (see `lookup`): it takes two reads.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from service.errors import RecordError, RecordOfOthers, StoreUnavailable
from service.reason import Reason
from service.records.generations import Generations
from service.records.lookup import Lookup
from service.records.negative_cache import NegativeCache, Rememberable
from service.records.negative_entry import is_negative_entry
from service.records.own_records import OwnRecords
from service.records.purge_table import PurgeTable
from service.records.record import Record, pack, purge_mark_key, record_key, unpack
from service.records.record_reader import Books, RecordReader
from service.records.renewal import has_better_latent, with_latent
from service.records.vary_rule import NONCE_BYTES, VaryRule, is_rule, pack_rule, unpack_rule
from service.rules import freshness
from service.rules.vary import Fields, selecting_names
from service.store.latent_store import Beside, LatentStore, Token

# Assumed: a picture that is asked for again within a day is worth its memory, as confirming it takes no encode. What is
# asked for more often keeps its place (volatile-lfu).
CONFIRMED_WITHIN_S = 86_400


@dataclass(frozen=True, slots=True)
class Found:
    """A record that can be used."""

    lookup: Lookup
    record: Record
    """As it is to be judged now: see `PurgeTable.apply`."""
    value: bytes
    """As the store holds it."""
    is_own: bool = False
    """Whether this process alone has the record, beside another release's in the store."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What is written with: a lease, where it was to lie, and the latest purge from before the origin was asked."""

    token: Token | None
    lookup: Lookup
    generation: int
    beside: bytes = b""
    """Another release's string, which stays in the store: what is written is kept by this process, without a lease."""


class RecordStore:
    """Where the pictures of one origin lie."""

    def __init__(
        self,
        store: LatentStore,
        books: Books,
        *,
        generations: Generations,
        negative_cache: NegativeCache,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._books = books
        self._generations = generations
        self._negative_cache = negative_cache
        self._now = now
        self._reader = RecordReader(books, now=now)
        self._own_records = OwnRecords()

    def home(self, image_id: str) -> bytes:
        """The key of a picture."""
        return record_key(image_id, origin=self._books.origin)

    async def lookup(self, image_id: str, fields: Fields) -> Lookup:
        """Where the record for a request lies, as the store has it now. Raises StoreUnavailable."""
        home = self.home(image_id)
        try:
            held = await self._store.get(home)
        except RecordError:
            return Lookup(image_id, home, fields, held=b"")  # no record either, as `look` will find
        lookup = Lookup(image_id, home, fields, held)
        if held is None or not is_rule(held):
            return lookup
        with suppress(RecordError):  # likewise
            return lookup.under(unpack_rule(held, home))
        return lookup

    async def look(self, lookup: Lookup, purges: PurgeTable | None = None) -> Found | Reason:
        """Return a record that can be used now, by these purges or those that are known, or why there is none.

        A fill gives `purges`. Then a record that they have removed is deleted, so that the fill can say why it asks.
        Raises StoreUnavailable, RecordError, or the error that is remembered. RecordOfOthers means that the record
        belongs to another release, and that this process has none of its own yet.
        """
        value = lookup.held if lookup.rule is None else await self._store.get(lookup.key)
        if value is None:
            return lookup.miss
        known = purges or await self._generations.current()
        try:
            found = self._usable(lookup, value, known)
        except RecordOfOthers:
            own = self._own_records.get(lookup, value)
            found = lookup.miss if own is None else self._usable(lookup, own, known)
            if isinstance(found, Reason):
                raise
            return replace(found, value=value, is_own=True)
        if isinstance(found, Reason) and purges is not None:
            await self._store.remove(lookup.key, value)
        return found

    def _usable(self, lookup: Lookup, value: bytes, purges: PurgeTable) -> Found | Reason:
        if is_negative_entry(value):
            self._negative_cache.recall(value, lookup.key, purges)
            return lookup.miss
        record = self._reader.read(value, lookup.key)
        if purges.has_removed(record):
            return Reason.PURGED
        stale_before = 0 if lookup.rule is None else lookup.rule.stale_before
        return Found(lookup, purges.apply(record, now_s=self._now(), stale_before=stale_before), value)

    async def purges(self) -> PurgeTable:
        """As the store has them at this moment. Raises StoreUnavailable."""
        return await self._generations.read()

    async def purge_mark(self, lookup: Lookup) -> bytes:
        """Return the mark of the latest purge of this picture by its id; empty for none, or without the store."""
        with suppress(StoreUnavailable, RecordError):
            return await self._store.get(purge_mark_key(lookup.home)) or b""
        return b""

    async def is_purged(self, record: Record, *, soft: bool) -> bool:
        """Whether a hard purge, or a soft one too, has come after it, as far as can be known."""
        with suppress(StoreUnavailable):
            purges = await self._generations.current()
            return purges.has_removed(record) or (soft and purges.stale_since_ms(record) is not None)
        return False

    async def is_over(self, grant: Grant) -> bool:
        """Whether what was asked of the origin under it is too old by now, as far as can be known."""
        lookup = grant.lookup
        with suppress(StoreUnavailable, RecordError):
            purges = await self._generations.current()
            if purges.latest > grant.generation or not await self._holds(grant):
                return True
            return lookup.rule is not None and await self._store.get(lookup.home) != lookup.held
        return False

    async def put(self, record: Record, grant: Grant | None) -> Lookup | None:
        """Where it was stored, if it was: not without a lease, nor under one that has ended.

        It lies where its own Vary says, so it brings the rule along if there is none yet, or another.
        """
        if grant is None:
            return None
        if grant.token is None:
            return await self._put_beside(pack(record, grant.lookup.key), grant, vary=record.passed.vary)
        lookup, ttl_s = self._by_vary(grant.lookup, record.passed.vary), self._kept_s(record)
        beside = _beside(grant.lookup, lookup)
        with suppress(StoreUnavailable):
            if await self._store.put(
                lookup.key, pack(record, lookup.key), ttl_s=ttl_s, under=grant.token, beside=beside
            ):
                return lookup
        return None

    async def remember(self, error: Rememberable, grant: Grant | None, *, over: bool = False) -> None:
        """Store that the origin has no such picture, or none of use, for as long as it or the operator says.

        Only where the key holds nothing, or with `over`, where what it holds was found to be unusable.
        """
        if grant is None:
            return
        if grant.token is None:
            value, left_s = self._negative_cache.packed(grant.lookup.key, error, generation=grant.generation)
            if left_s > 0:
                await self._put_beside(value, grant, vary=error.vary)
            return
        names, known = selecting_names(error.vary), grant.lookup.names
        if known and names not in {known, ()}:
            return  # the pictures that are there vary otherwise, and are worth more than an error
        lookup = grant.lookup if known else self._by_vary(grant.lookup, error.vary)
        beside = _beside(grant.lookup, lookup)
        await self._negative_cache.remember(
            lookup.key, error, under=grant.token, generation=grant.generation, beside=beside, over=over
        )

    async def renew(self, known: Found, record: Record, grant: Grant) -> Lookup | None:
        """Only what is still there is renewed, whole: nothing that was evicted, purged or replaced comes back."""
        lookup = known.lookup
        if grant.token is None:
            return await self.put(record, grant)
        if selecting_names(record.passed.vary) != lookup.names:
            return await self.put(record, grant)  # RFC 9111 3.2: it varies otherwise from now on
        with suppress(StoreUnavailable, RecordError):
            if await self._replaced(known, record, known.value):
                return lookup
            # A better latent of the same picture may have come in between.
            value = await self._store.get(lookup.key)
            if value is None or is_negative_entry(value):
                return None
            now = unpack(value, lookup.key)
            if has_better_latent(now, known.record) and await self._replaced(known, with_latent(record, now), value):
                return lookup
        return None

    async def drop(self, known: Found) -> None:
        """What the origin has taken back, unless something else has taken its place."""
        with suppress(StoreUnavailable):
            await self._store.remove(known.lookup.key, known.value)

    async def _replaced(self, known: Found, record: Record, value: bytes) -> bool:
        lookup, ttl_s = known.lookup, self._kept_s(record)
        beside = _beside(lookup, lookup)
        packed = pack(record, lookup.key)
        return await self._store.replace(lookup.key, packed, instead_of=value, ttl_s=ttl_s, beside=beside)

    async def _holds(self, grant: Grant) -> bool:
        """Whether the lease of a grant has not ended, or the string that is left alone is still there."""
        if grant.token is None:
            return await self._store.get(grant.lookup.key) == grant.beside
        return await self._store.get(grant.token.lease) == grant.token.secret

    async def _put_beside(self, value: bytes, grant: Grant, *, vary: str) -> Lookup | None:
        """Keep a string for this process; None if a purge, or anything else, has come in between."""
        lookup = grant.lookup
        with suppress(StoreUnavailable, RecordError):
            if not await self._holds(grant):
                return None
            if is_rule(grant.beside) or selecting_names(vary) == lookup.names:
                self._own_records.put(lookup, grant.beside, value)
            return lookup
        return None

    def _by_vary(self, lookup: Lookup, vary: str) -> Lookup:
        """Where what varies so belongs."""
        names = selecting_names(vary)
        if names == lookup.names:
            return lookup
        return lookup.under(VaryRule(names, secrets.token_bytes(NONCE_BYTES)) if names else None)

    def _kept_s(self, record: Record) -> int:
        left_s = freshness.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=self._now())
        return max(0, left_s) + max(record.stale_while_revalidate_s, record.stale_if_error_s, CONFIRMED_WITHIN_S)


def _beside(found: Lookup, lookup: Lookup) -> Beside | None:
    """The rule as it was found, and as it is to be for what lies in this place."""
    if found.rule is None and lookup.rule is None:
        return None
    was = b"" if found.rule is None or found.held is None else found.held
    if lookup.rule == found.rule:
        # As it was found: in the version of an older edge it can still be read by that one.
        return Beside(lookup.home, was=was, becomes=was)
    return Beside(lookup.home, was=was, becomes=b"" if lookup.rule is None else pack_rule(lookup.rule, lookup.home))
