"""Purge pictures: one by its id, many by a tag, or all. A hard purge removes them; a soft one makes them stale.

A hard purge of one picture deletes its record together with its lease, so that a fill in progress stores nothing. It
also sets a mark, so that later requests do not join a fill that began before the purge (see `flights`), and publishes
it, so that no process shows the picture from memory while the store does not answer (see `last_known`). If the picture
varies, its vary rule is deleted: without the rule, the variants are not found any more.

A purge by tag or of all pictures deletes nothing. It sets a generation (see `purge_table`) that is larger than those of
the purged records and of all fills in progress.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from service.errors import RecordError, StoreFull, StoreUnavailable
from service.records.generations import Generations
from service.records.negative_entry import is_negative_entry
from service.records.record import pack, unpack
from service.records.store_keys import generations_key, lease_key, purge_mark_key, record_key
from service.records.vary_rule import is_rule, pack_rule, unpack_rule
from service.store.latent_store import LatentStore, Mark

MARK_MS = 3_600_000  # the TTL of a purge mark; assumed: no fill takes an hour
MARK_BYTES = 16
# The maximum number of attempts of a soft purge to replace a record. Assumed: fills and searches do not change the
# record five times in a row between its read and its replacement.
ATTEMPTS = 5


class Purger:
    """Purges pictures of one origin in the store, and thereby for all edges. Every method raises StoreUnavailable."""

    def __init__(
        self,
        store: LatentStore,
        generations: Generations,
        *,
        origin: str,
        forget: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        """`forget` is called with the id of a picture after its purge, and with "" for many, also if it has failed."""
        self._store = store
        self._generations = generations
        self._origin = origin
        self._forget = forget
        self._now = now

    async def one(self, image_id: str, *, soft: bool) -> int:
        """Purge a picture with all its variants, or its negative cache entry. Return 1, or 0 if none was stored."""
        key = record_key(image_id, origin=self._origin)
        try:
            return await (self._make_stale(key) if soft else self._delete(key))
        finally:
            self._forget(image_id)

    async def many(self, tag: str | None, *, soft: bool) -> int:
        """Purge all pictures with `tag`, or all pictures if it is None. Return the generation of the purge."""
        try:
            return await self._generations.purge(tag, soft=soft)
        except StoreUnavailable:
            self._forget("")
            raise

    async def _delete(self, key: bytes) -> int:
        return await self._store.delete(key, lease=lease_key(key), mark=self._mark(key))

    async def _make_stale(self, key: bytes) -> int:
        for _ in range(ATTEMPTS):
            await self._store.end(lease_key(key))
            try:
                value = await self._store.get(key)
                if value is None:
                    await self._store.set_mark(key, self._mark(key))
                    return 0
                if is_negative_entry(value):
                    return await self._delete(key)
                stale = await self._stale(value, key)
            except RecordError:
                # A record that cannot be read cannot be marked as stale. It is deleted, even if it belongs to another
                # release.
                return await self._delete(key)
            try:
                replaced = await self._store.replace(key, stale, instead_of=value)
            except StoreFull:  # it has no room to mark the picture as stale, and a lost purge is worse than a fill
                return await self._delete(key)
            if replaced:
                await self._store.set_mark(key, self._mark(key))
                return 1
        raise StoreUnavailable(f"the record was changed during each of {ATTEMPTS} attempts to mark it as stale")

    async def _stale(self, value: bytes, key: bytes) -> bytes:
        if is_rule(value):
            return pack_rule(replace(unpack_rule(value, key), stale_before=await self._generations.next()), key)
        record = unpack(value, key)
        age_s = max(0, int(self._now() - record.born_ms / 1000))
        return pack(replace(record, lifetime_s=min(record.lifetime_s, age_s)), key)

    def _mark(self, key: bytes) -> Mark:
        channel = generations_key(self._origin)
        return Mark(purge_mark_key(key), secrets.token_bytes(MARK_BYTES), ttl_ms=MARK_MS, channel=channel)
