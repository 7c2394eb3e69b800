"""Store what a fill has made, under its grant: a record, an error, or new dates. Nothing is fetched or decoded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from service.errors import RecordError, StoreUnavailable
from service.records.generations import Generations
from service.records.grant import Found, Grant
from service.records.lookup import Lookup
from service.records.negative_cache import NegativeCache, Rememberable
from service.records.negative_entry import is_negative_entry
from service.records.own_records import OwnRecords
from service.records.record import Record, pack, unpack
from service.records.record_reader import Books
from service.records.renewal import has_better_latent, with_latent
from service.records.store_keys import variants_key
from service.records.vary_change import expect_known, expect_rule, lookup_for, says_gone, selects_like_the_pictures
from service.records.vary_rule import is_rule
from service.rules import response_age
from service.rules.vary import selecting_names
from service.store.latent_store import Beside, Group, LatentStore, Token

# A stale picture stays in the store for at least this long. Assumed: a picture that is requested again within a day is
# worth its memory, because a revalidation needs no encode. volatile-lfu evicts pictures that are requested less often.
CONFIRMED_WITHIN_S = 86_400


class GrantedWrites:
    """Writes the records of one origin, each under the grant of a fill."""

    def __init__(
        self,
        store: LatentStore,
        books: Books,
        *,
        generations: Generations,
        negative_cache: NegativeCache,
        own_records: OwnRecords,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._books = books
        self._generations = generations
        self._negative_cache = negative_cache
        self._own_records = own_records
        self._now = now

    async def void(self, grant: Grant) -> None:
        """End the lease of a grant, so that its fill stores nothing."""
        if grant.token is not None:
            with suppress(StoreUnavailable):
                await self._store.give_back(grant.token)

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
        lookup, ttl_s = lookup_for(grant.lookup, record.passed.vary), self._expiry_s(record)
        beside, group = expect_rule(grant.lookup, lookup), self._group(lookup)
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
        if not selects_like_the_pictures(error, grant.lookup):
            return  # The error would replace a vary rule, and with it all stored variants, which are worth more.
        lookup = grant.lookup if grant.lookup.names else lookup_for(grant.lookup, error.vary)
        beside = expect_rule(grant.lookup, lookup) if known is None else expect_known(known, lookup)
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
        elif not known.is_own and says_gone(error, known.lookup):
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
        beside = expect_rule(lookup, lookup)
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

    def _expiry_s(self, record: Record) -> int:
        left_s = response_age.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=self._now())
        return max(0, left_s) + max(record.stale_while_revalidate_s, record.stale_if_error_s, CONFIRMED_WITHIN_S)
