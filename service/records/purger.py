"""Purge pictures: one by its id, many by a tag, or all. A hard purge removes them; a soft one makes them stale.

A purge of one picture deletes its record together with its lease, so that a fill under way stores nothing. It sets a
mark, by which a request tells whether a fill that it could join has begun before the purge (see `flights`). If the
picture varies, the vary rule is deleted: without it the variants cannot be found, and none is added. A purge of many
deletes nothing: it sets a generation (see `purge_table`) that is newer than their records, and newer than each fill
that asked the origin before the purge.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from service.errors import RecordError, StoreUnavailable
from service.records.generations import Generations
from service.records.negative_entry import is_negative_entry
from service.records.record import lease_key, pack, purge_mark_key, unpack
from service.records.vary_rule import is_rule, pack_rule, unpack_rule
from service.store.latent_store import LatentStore, Mark

MARK_MS = 3_600_000  # assumed: longer than any fill takes
MARK_BYTES = 16
ATTEMPTS = 5  # assumed: how often a fill or a search may change the record between its read and its replacement


class Purger:
    """Purges the pictures of one origin, for all edges on its store. Every method raises StoreUnavailable."""

    def __init__(
        self,
        store: LatentStore,
        generations: Generations,
        *,
        key: Callable[[str], bytes],
        forget: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._generations = generations
        self._key = key
        self._forget = forget
        self._now = now

    async def one(self, image_id: str, *, soft: bool) -> int:
        """Purge a picture with all its variants, or its negative cache entry. Return how many those were: 0 or 1."""
        key = self._key(image_id)
        purged = await (self._make_stale(key) if soft else self._delete(key))
        self._forget(image_id)
        return purged

    async def many(self, tag: str | None, *, soft: bool) -> int:
        """Purge all pictures with a tag, or all. Return the generation of the purge."""
        return await self._generations.purge(tag, soft=soft)

    async def _delete(self, key: bytes) -> int:
        return await self._store.delete(key, lease=lease_key(key), mark=_mark(key))

    async def _make_stale(self, key: bytes) -> int:
        for _ in range(ATTEMPTS):
            await self._store.end(lease_key(key))
            try:
                value = await self._store.get(key)
                if value is None:
                    await self._store.set_mark(_mark(key))
                    return 0
                if is_negative_entry(value):
                    return await self._delete(key)
                stale = await self._stale(value, key)
            except RecordError:  # it cannot be marked as stale, so it is deleted, even if another release could use it
                return await self._delete(key)
            if await self._store.replace(key, stale, instead_of=value):
                await self._store.set_mark(_mark(key))
                return 1
        raise StoreUnavailable("the record changes all the time")

    async def _stale(self, value: bytes, key: bytes) -> bytes:
        if is_rule(value):
            return pack_rule(replace(unpack_rule(value, key), stale_before=await self._generations.next()), key)
        record = unpack(value, key)
        age_s = max(0, int(self._now() - record.born_ms / 1000))
        return pack(replace(record, lifetime_s=min(record.lifetime_s, age_s)), key)


def _mark(key: bytes) -> Mark:
    return Mark(purge_mark_key(key), secrets.token_bytes(MARK_BYTES), ttl_ms=MARK_MS)
