"""Takes pictures away before their time: one by its id, many by a tag, or all. Hard is gone; soft is stale.

Of one picture the record and the lease go together, so that a fill under way stores nothing. If it varies, its rule
goes: nobody finds its variants without it, nor stores another. Of many nothing is deleted: their generation is over
(see `purge_table`), and so is that of a fill which asked the origin before the purge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from service.errors import RecordError, StoreUnavailable
from service.records.generations import Generations
from service.records.negative_entry import is_negative_entry
from service.records.record import lease_key, pack, unpack
from service.records.vary_rule import is_rule, pack_rule, unpack_rule
from service.store.latent_store import LatentStore

ATTEMPTS = 5  # assumed: so often a fill or a refinement may come between a look and a change


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
        """How many pictures that were, all variants of one together: 0 or 1. An error that is remembered goes too."""
        key = self._key(image_id)
        purged = await (self._softened(key) if soft else self._store.delete(key, lease=lease_key(key)))
        self._forget(image_id)
        return purged

    async def many(self, tag: str | None, *, soft: bool) -> int:
        """All with a tag, or all; the generation before which everything is purged."""
        return await self._generations.purge(tag, soft=soft)

    async def _softened(self, key: bytes) -> int:
        lease = lease_key(key)
        for _ in range(ATTEMPTS):
            await self._store.end(lease)
            try:
                value = await self._store.get(key)
                if value is None:
                    return 0
                if is_negative_entry(value):
                    return await self._store.delete(key, lease=lease)
                stale = await self._stale(value, key)
            except RecordError:  # it cannot be marked; if another release could use it, a purge counts for more
                return await self._store.delete(key, lease=lease)
            if await self._store.replace(key, stale, instead_of=value):
                return 1
        raise StoreUnavailable("the record changes all the time")

    async def _stale(self, value: bytes, key: bytes) -> bytes:
        if is_rule(value):
            return pack_rule(replace(unpack_rule(value, key), stale_before=await self._generations.next()), key)
        record = unpack(value, key)
        age_s = max(0, int(self._now() - record.born_ms / 1000))
        return pack(replace(record, lifetime_s=min(record.lifetime_s, age_s)), key)
