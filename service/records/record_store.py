"""Read, judge and write the records of one origin. Asks no origin, makes no picture.

A record of another release (see `record_reader`) is never overwritten. Its picture is filled for this process alone
(see `own_records`), and that record counts for as long as the store holds the same string.

The key of a picture that varies holds its vary rule, and other keys hold the variants (see `lookup`): this takes two
reads.
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

# Assumed: a stale picture that is asked for again within a day is worth its memory, since a validation takes no encode.
# volatile-lfu evicts the pictures that are asked for less often.
CONFIRMED_WITHIN_S = 86_400


@dataclass(frozen=True, slots=True)
class Found:
    """A record that can be used, and where it was found."""

    lookup: Lookup
    record: Record
    """The record with its lifetime after soft purges: see `PurgeTable.apply`."""
    value: bytes
    """The string in the store."""
    is_own: bool = False
    """Whether this process alone has the record, beside another release's in the store."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The permission to store one picture: a lease, the lookup, and the latest purge before the origin was asked."""

    token: Token | None
    lookup: Lookup
    generation: int
    beside: bytes = b""
    """Another release's string, which stays in the store. The picture is then kept by this process, without a lease."""


@dataclass(frozen=True, slots=True)
class PurgePoint:
    """A point of time as purges divide it."""

    mark: bytes
    """Of the latest purge of one picture by its id; empty for none."""
    generation: int
    """Of the latest purge of many. It may be a second old, as a purge of many waits so long before it answers."""


class RecordStore:
    """The records of one origin."""

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
        """Return the key of a picture."""
        return record_key(image_id, origin=self._books.origin)

    async def lookup(self, image_id: str, fields: Fields) -> Lookup:
        """Find out under which key the record for a request is stored now. Raises StoreUnavailable."""
        home = self.home(image_id)
        try:
            held = await self._store.get(home)
        except RecordError:
            return Lookup(image_id, home, fields, held=b"")  # `look` will say the same of it
        lookup = Lookup(image_id, home, fields, held)
        if held is None or not is_rule(held):
            return lookup
        with suppress(RecordError):  # `look` will raise it
            return lookup.under(unpack_rule(held, home))
        return lookup

    async def look(self, lookup: Lookup, purges: PurgeTable | None = None) -> Found | Reason:
        """Return a record that can be used now, or why there is none. `purges` defaults to the latest known table.

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
        """Return the purges as the store has them now. Raises StoreUnavailable."""
        return await self._generations.read()

    async def purge_point(self, lookup: Lookup) -> PurgePoint:
        """Return the purges up to now. Without the store there are none."""
        with suppress(StoreUnavailable, RecordError):
            mark = await self._store.get(purge_mark_key(lookup.home)) or b""
            return PurgePoint(mark, (await self._generations.current()).latest)
        return PurgePoint(b"", 0)

    async def void(self, grant: Grant) -> None:
        """Take back the permission to store, so that the fill which has it stores nothing."""
        if grant.token is not None:
            with suppress(StoreUnavailable):
                await self._store.give_back(grant.token)

    async def is_purged(self, record: Record, *, soft: bool) -> bool:
        """Return whether a hard purge of many, or with `soft` any purge of many, is newer, if the store tells."""
        with suppress(StoreUnavailable):
            purges = await self._generations.current()
            return purges.has_removed(record) or (soft and purges.stale_since_ms(record) is not None)
        return False

    async def is_over(self, grant: Grant) -> bool:
        """Return whether a purge or another fill has ended this grant, if the store tells."""
        lookup = grant.lookup
        with suppress(StoreUnavailable, RecordError):
            purges = await self._generations.current()
            if purges.latest > grant.generation or not await self._holds(grant):
                return True
            return lookup.rule is not None and await self._store.get(lookup.home) != lookup.held
        return False

    async def put(self, record: Record, grant: Grant | None) -> Lookup | None:
        """Store a new record, and return where; None without a lease, or if the lease has ended.

        The Vary field of the record decides the key, so a new or another vary rule is stored with it.
        """
        if grant is None:
            return None
        if grant.token is None:
            return await self._put_beside(pack(record, grant.lookup.key), grant, vary=record.passed.vary)
        lookup, ttl_s = self._by_vary(grant.lookup, record.passed.vary), self._expiry_s(record)
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
            value, left_s = self._negative_cache.pack(grant.lookup.key, error, generation=grant.generation)
            if left_s > 0:
                await self._put_beside(value, grant, vary=error.vary)
            return
        names, known = selecting_names(error.vary), grant.lookup.names
        if known and names not in {known, ()}:
            return  # The error varies by other fields than the stored pictures, which are worth more than an error.
        lookup = grant.lookup if known else self._by_vary(grant.lookup, error.vary)
        beside = _beside(grant.lookup, lookup)
        await self._negative_cache.remember(
            lookup.key, error, under=grant.token, generation=grant.generation, beside=beside, over=over
        )

    async def renew(self, known: Found, record: Record, grant: Grant) -> Lookup | None:
        """Replace a known record, and return where; None if it was evicted, purged or replaced meanwhile."""
        lookup = known.lookup
        if grant.token is None:
            return await self.put(record, grant)
        if selecting_names(record.passed.vary) != lookup.names:
            return await self.put(record, grant)  # RFC 9111 3.2: from now on it varies by other fields
        with suppress(StoreUnavailable, RecordError):
            if await self._replace(known, record, known.value):
                return lookup
            # A search may have stored a better latent of the same picture meanwhile.
            value = await self._store.get(lookup.key)
            if value is None or is_negative_entry(value):
                return None
            now = unpack(value, lookup.key)
            if has_better_latent(now, known.record) and await self._replace(known, with_latent(record, now), value):
                return lookup
        return None

    async def drop(self, known: Found) -> None:
        """Delete a record that may not be shown again, unless another string has replaced it."""
        with suppress(StoreUnavailable):
            await self._store.remove(known.lookup.key, known.value)

    async def _replace(self, known: Found, record: Record, value: bytes) -> bool:
        lookup, ttl_s = known.lookup, self._expiry_s(record)
        beside = _beside(lookup, lookup)
        packed = pack(record, lookup.key)
        return await self._store.replace(lookup.key, packed, instead_of=value, ttl_s=ttl_s, beside=beside)

    async def _holds(self, grant: Grant) -> bool:
        """Return whether the lease is still held, or the other release's string still stored."""
        if grant.token is None:
            return await self._store.get(grant.lookup.key) == grant.beside
        return await self._store.get(grant.token.lease) == grant.token.secret

    async def _put_beside(self, value: bytes, grant: Grant, *, vary: str) -> Lookup | None:
        """Keep a string for this process, and return its lookup; None if the grant has ended."""
        lookup = grant.lookup
        with suppress(StoreUnavailable, RecordError):
            if not await self._holds(grant):
                return None
            if is_rule(grant.beside) or selecting_names(vary) == lookup.names:
                self._own_records.put(lookup, grant.beside, value)
            return lookup
        return None

    def _by_vary(self, lookup: Lookup, vary: str) -> Lookup:
        """Return the lookup under the rule that this Vary field makes."""
        names = selecting_names(vary)
        if names == lookup.names:
            return lookup
        return lookup.under(VaryRule(names, secrets.token_bytes(NONCE_BYTES)) if names else None)

    def _expiry_s(self, record: Record) -> int:
        left_s = freshness.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=self._now())
        return max(0, left_s) + max(record.stale_while_revalidate_s, record.stale_if_error_s, CONFIRMED_WITHIN_S)


def _beside(found: Lookup, lookup: Lookup) -> Beside | None:
    """Return the vary rule that was found, and the one that belongs to this lookup, as one condition of a write."""
    if found.rule is None and lookup.rule is None:
        return None
    was = b"" if found.rule is None or found.held is None else found.held
    if lookup.rule == found.rule:
        # The string stays as it was found, so that an older edge can read the rule that it has written.
        return Beside(lookup.home, was=was, becomes=was)
    return Beside(lookup.home, was=was, becomes=b"" if lookup.rule is None else pack_rule(lookup.rule, lookup.home))
