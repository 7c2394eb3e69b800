"""Read and write the records of one origin, and decide whether they can be used. Nothing is fetched or decoded.

A record of another release (see `record_reader`) is not overwritten. The picture is filled for this process alone (see
`own_records`), and that record is used for as long as the string in the store does not change.

If a picture varies, its key holds the vary rule, and other keys hold the variants (see `lookup`). A hit then takes two
reads.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from service.errors import EdgeError, RecordError, RecordOfOthers, StoreUnavailable
from service.reason import Reason
from service.records.generations import Generations
from service.records.last_known import LastKnown
from service.records.lookup import Lookup
from service.records.negative_cache import NegativeCache, Rememberable
from service.records.negative_entry import is_negative_entry
from service.records.own_records import OwnRecords
from service.records.purge_table import PurgeTable
from service.records.record import Record, pack, purge_mark_key, record_key, unpack, variants_key
from service.records.record_reader import Books, RecordReader
from service.records.renewal import has_better_latent, with_latent
from service.records.vary_rule import NONCE_BYTES, VaryRule, is_rule, pack_rule, unpack_rule
from service.rules import freshness
from service.rules.origin_refused import OriginRefused
from service.rules.vary import Fields, selecting_names
from service.store.latent_store import Beside, Group, LatentStore, Token

# A stale picture stays in the store for at least this long. Assumed: a picture that is requested again within a day is
# worth its memory, because a revalidation needs no encode. volatile-lfu evicts pictures that are requested less often.
CONFIRMED_WITHIN_S = 86_400


@dataclass(frozen=True, slots=True)
class Found:
    """A record that can be used, and where it was found."""

    lookup: Lookup
    record: Record
    """The record, with its lifetime shortened by soft purges (see `PurgeTable.apply`)."""
    value: bytes
    """The string in the store when the record was found."""
    is_own: bool = False
    """Whether only this process has the record in memory, while the store holds another release's record."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The permission to store one picture: a lease, its lookup, and the latest purge when the origin was asked."""

    token: Token | None
    lookup: Lookup
    generation: int
    beside: bytes = b""
    """The string of another release, which stays in the store. Then there is no `token`, and the record is kept in this
    process's memory (see `own_records`)."""


@dataclass(frozen=True, slots=True)
class PurgePoint:
    """Names the latest purges at one moment. If two points differ, the picture may have been purged in between."""

    mark: bytes
    """The mark that the latest purge of this picture by its id has set; empty if there was none."""
    generation: int
    """The generation of the latest purge by tag or of all pictures. It may be a second old, because such a purge waits
    for a second before it is answered."""


class RecordStore:
    """The records of one origin."""

    def __init__(
        self,
        store: LatentStore,
        books: Books,
        *,
        generations: Generations,
        last_known: LastKnown,
        negative_cache: NegativeCache,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._books = books
        self._generations = generations
        self._last_known = last_known
        self._negative_cache = negative_cache
        self._now = now
        self._reader = RecordReader(books, now=now)
        self._own_records = OwnRecords()

    def home(self, image_id: str) -> bytes:
        """Return the key of a picture."""
        return record_key(image_id, origin=self._books.origin)

    async def lookup(self, image_id: str, fields: Fields) -> Lookup:
        """Return the lookup of a request, with the vary rule that the store holds now. Raises StoreUnavailable."""
        home = self.home(image_id)
        lookup = Lookup(image_id, home, fields, purges=self._last_known.purges)
        try:
            held = await self._store.get(home)
        except RecordError:
            return replace(lookup, held=b"")  # an empty `held` makes `look` raise DamagedRecord
        lookup = replace(lookup, held=held)
        if held is None or not is_rule(held):
            return lookup
        with suppress(RecordError):  # `look` raises the error of a vary rule that cannot be read
            return lookup.under(unpack_rule(held, home))
        return lookup

    async def look(self, lookup: Lookup, purges: PurgeTable | None = None) -> Found | Reason:
        """Do as `_look` does, and remember what was found. `recall` returns it while the store does not answer."""
        try:
            found = await self._look(lookup, purges)
        except StoreUnavailable:
            raise
        except EdgeError:
            self._last_known.drop(lookup)
            raise
        if isinstance(found, Found):
            self._last_known.note(lookup, found.record)
        else:
            self._last_known.drop(lookup)
        return found

    def recall(self, image_id: str, fields: Fields) -> Record | None:
        """Return the record that the store has confirmed a short while ago, unless a purge is known. Asks nothing."""
        record = self._last_known.recall(Lookup(image_id, self.home(image_id), fields))
        purges = self._generations.last_read()
        if record is None or purges is None or purges.has_removed(record):
            return None
        return purges.apply(record, now_s=self._now())

    async def _look(self, lookup: Lookup, purges: PurgeTable | None) -> Found | Reason:
        """Return the record that can be used now, or the reason why there is none.

        A fill passes `purges`; then a record that was purged, or an entry that has expired, is also deleted. Otherwise
        the latest known table of purges is used. Raises StoreUnavailable, RecordError, or the error in a negative cache
        entry. RecordOfOthers means that the store holds another release's record, and this process has none in memory.
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
        """Read the table of purges from the store, and return it. Raises StoreUnavailable."""
        return await self._generations.read()

    async def purge_point(self, lookup: Lookup) -> PurgePoint:
        """Return the latest purges of a picture; an empty PurgePoint if the store does not answer."""
        with suppress(StoreUnavailable, RecordError):
            mark = await self._store.get(purge_mark_key(lookup.home)) or b""
            return PurgePoint(mark, (await self._generations.current()).latest)
        return PurgePoint(b"", 0)

    async def void(self, grant: Grant) -> None:
        """End the lease of a grant, so that its fill stores nothing."""
        if grant.token is not None:
            with suppress(StoreUnavailable):
                await self._store.give_back(grant.token)

    async def is_purged(self, record: Record, *, soft: bool) -> bool:
        """Return whether a hard purge by tag or of all pictures is newer than the record; with `soft`, also a soft one.

        Return False if the store does not answer.
        """
        with suppress(StoreUnavailable):
            purges = await self._generations.current()
            return purges.has_removed(record) or (soft and purges.stale_since_ms(record) is not None)
        return False

    async def is_over(self, grant: Grant) -> bool:
        """Return whether a purge or another fill has ended this grant; False if the store does not answer."""
        lookup = grant.lookup
        with suppress(StoreUnavailable, RecordError):
            purges = await self._generations.current()
            if purges.latest > grant.generation or not await self._holds(grant):
                return True
            return lookup.rule is not None and await self._store.get(lookup.home) != lookup.held
        return False

    async def put(self, record: Record, grant: Grant | None) -> Lookup | None:
        """Store a new record, and return its lookup. Return None without a grant, or if the grant has ended.

        The Vary field of the record decides the key. If it differs from the stored vary rule, a new rule is stored too.
        """
        if grant is None:
            return None
        if grant.token is None:
            return await self._put_beside(pack(record, grant.lookup.key), grant, vary=record.passed.vary)
        lookup, ttl_s = self._by_vary(grant.lookup, record.passed.vary), self._expiry_s(record)
        beside, group = _beside(grant.lookup, lookup), self._group(lookup)
        packed = pack(record, lookup.key)
        with suppress(StoreUnavailable):
            if await self._store.put(lookup.key, packed, ttl_s=ttl_s, under=grant.token, beside=beside, group=group):
                return lookup
        return None

    async def remember(
        self, error: Rememberable, grant: Grant | None, *, over: bool = False, known: Found | None = None
    ) -> None:
        """Store an error of the origin, or an unusable file, as a negative cache entry for its freshness lifetime.

        It is stored only if the key does not exist. With `over` it replaces a string, which was found to be unusable,
        and with `known` that record.
        """
        if grant is None:
            return
        if grant.token is None:
            value, left_s = self._negative_cache.pack(grant.lookup.key, error, generation=grant.generation)
            if left_s > 0:
                await self._put_beside(value, grant, vary=error.vary)
            return
        if not _selects_like_the_pictures(error, grant.lookup):
            return  # The error would replace a vary rule, and with it all stored variants, which are worth more.
        lookup = grant.lookup if grant.lookup.names else self._by_vary(grant.lookup, error.vary)
        beside = _beside(grant.lookup, lookup) if known is None else _instead_of(known, lookup)
        await self._negative_cache.remember(
            lookup.key,
            error,
            under=grant.token,
            generation=grant.generation,
            beside=beside,
            over=over or known is not None,
        )

    async def supersede(self, known: Found, error: Rememberable, grant: Grant | None) -> None:
        """Replace a stale record by the error with which the origin answered its validation (RFC 9111 4).

        Nothing is replaced if a purge, another fill or a search has changed the record meanwhile. If the error may not
        be stored and says that the picture is gone, the record is deleted.
        """
        if error.is_reusable:
            await self.remember(error, grant, known=known)
        elif not known.is_own and _says_gone(error, known.lookup):
            await self.drop(known)

    async def renew(self, known: Found, record: Record, grant: Grant) -> Lookup | None:
        """Replace a known record, and return its lookup; None if it was evicted, purged or replaced meanwhile."""
        lookup = known.lookup
        if grant.token is None:
            return await self.put(record, grant)
        if selecting_names(record.passed.vary) != lookup.names:
            return await self.put(record, grant)  # RFC 9111 3.2: a 304 with a new Vary changes the record's key
        with suppress(StoreUnavailable, RecordError):
            if await self._replace(known, record, known.value, grant.token):
                return lookup
            # A search may have stored a better latent of the same picture meanwhile.
            value = await self._store.get(lookup.key)
            if value is None or is_negative_entry(value):
                return None
            now = unpack(value, lookup.key)
            better = with_latent(record, now)
            if has_better_latent(now, known.record) and await self._replace(known, better, value, grant.token):
                return lookup
        return None

    async def drop(self, known: Found) -> None:
        """Delete a record that must not be served again, unless another string has replaced it."""
        with suppress(StoreUnavailable):
            await self._store.remove(known.lookup.key, known.value)

    async def _replace(self, known: Found, record: Record, value: bytes, token: Token) -> bool:
        lookup, ttl_s = known.lookup, self._expiry_s(record)
        beside = _beside(lookup, lookup)
        packed = pack(record, lookup.key)
        if beside is None:
            # A soft purge by id may leave a stale record unchanged, but it ends the lease. It changes any vary rule.
            same = Beside(lookup.key, was=value, becomes=b"")
            return await self._store.put(lookup.key, packed, ttl_s=ttl_s, under=token, beside=same)
        return await self._store.replace(lookup.key, packed, instead_of=value, ttl_s=ttl_s, beside=beside)

    async def _holds(self, grant: Grant) -> bool:
        """Return whether the grant is valid: its lease is held, or the other release's string has not changed."""
        if grant.token is None:
            return await self._store.get(grant.lookup.key) == grant.beside
        return await self._store.get(grant.token.lease) == grant.token.secret

    async def _put_beside(self, value: bytes, grant: Grant, *, vary: str) -> Lookup | None:
        """Keep a packed record in this process's memory, and return its lookup; None if the grant has ended."""
        lookup = grant.lookup
        with suppress(StoreUnavailable, RecordError):
            if not await self._holds(grant):
                return None
            if is_rule(grant.beside) or selecting_names(vary) == lookup.names:
                self._own_records.put(lookup, grant.beside, value)
            return lookup
        return None

    def _group(self, lookup: Lookup) -> Group | None:
        if lookup.rule is None or not self._books.most_variants:
            return None
        return Group(variants_key(lookup.home), self._books.most_variants)

    def _by_vary(self, lookup: Lookup, vary: str) -> Lookup:
        """Return the lookup of the same request for this Vary field. If the field has changed, it gets a new rule."""
        names = selecting_names(vary)
        if names == lookup.names:
            return lookup
        return lookup.under(VaryRule(names, secrets.token_bytes(NONCE_BYTES)) if names else None)

    def _expiry_s(self, record: Record) -> int:
        left_s = freshness.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=self._now())
        return max(0, left_s) + max(record.stale_while_revalidate_s, record.stale_if_error_s, CONFIRMED_WITHIN_S)


def _says_gone(error: Rememberable, lookup: Lookup) -> bool:
    return isinstance(error, OriginRefused) and error.says_gone and _selects_like_the_pictures(error, lookup)


def _selects_like_the_pictures(error: Rememberable, lookup: Lookup) -> bool:
    """Return whether the error varies by no other fields than the stored pictures do."""
    return not lookup.names or selecting_names(error.vary) in {lookup.names, ()}


def _instead_of(known: Found, lookup: Lookup) -> Beside | None:
    """Return the condition that the known record is still stored, or for a variant that its vary rule is."""
    if known.lookup.rule is not None:
        return _beside(known.lookup, lookup)
    return Beside(
        lookup.home, was=known.value, becomes=b"" if lookup.rule is None else pack_rule(lookup.rule, lookup.home)
    )


def _beside(found: Lookup, lookup: Lookup) -> Beside | None:
    """Return the check and the write of the vary rule that go with storing a record; None if there is no rule.

    The rule in the store must still be that of `found`, and it becomes that of `lookup`.
    """
    if found.rule is None and lookup.rule is None:
        return None
    was = b"" if found.rule is None or found.held is None else found.held
    if lookup.rule == found.rule:
        # An unchanged vary rule is not written again, so that an older release can still read the rule that it wrote.
        return Beside(lookup.home, was=was, becomes=was)
    return Beside(lookup.home, was=was, becomes=b"" if lookup.rule is None else pack_rule(lookup.rule, lookup.home))
