"""The keys of a store, hottest first. Changes nothing, and does not count as a use of any key.

Under an LFU policy the server counts how often a key is used (OBJECT FREQ); under any other it knows how long a key has
not been used (OBJECT IDLETIME).
"""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from service.store.connection import Connection

PAGE = 500
"""Assumed: keys of one SCAN. Asking for all of them takes a few milliseconds, far less than the store's patience."""


@dataclass(frozen=True, slots=True)
class _Page:
    cursor: int
    """Where the next page begins; 0 after the last one."""
    heat: dict[bytes, int]
    """By key; more is hotter."""


async def hottest_first(connection: Connection, *, prefix: bytes) -> list[bytes]:
    """Return all keys with a prefix. Raises StoreUnavailable."""
    heat: dict[bytes, int] = {}
    async with connection.asking_each() as servers:
        machines = len(servers)
    for machine in range(machines):
        cursor = None
        while cursor != 0:
            async with connection.asking_each() as servers:  # each page for itself: a time-out is for one question
                page = await _page(servers[machine], cursor or 0, prefix)
            cursor = page.cursor
            heat |= page.heat
    return sorted(heat, key=lambda key: (-heat[key], key))


async def _page(server: Redis, cursor: int, prefix: bytes) -> _Page:
    policy = (await server.info("memory")).get("maxmemory_policy", "")
    counts_uses = str(policy).endswith("lfu")
    following, keys = await server.scan(cursor, match=prefix + b"*", count=PAGE)
    pipeline = server.pipeline(transaction=False)
    for key in keys:
        pipeline.object("FREQ" if counts_uses else "IDLETIME", key)
    answers = await pipeline.execute(raise_on_error=False) if keys else []
    # A key that has expired since the scan has no answer.
    pairs = zip(keys, answers, strict=True)
    known = [(key, answer) for key, answer in pairs if isinstance(key, bytes) and isinstance(answer, int)]
    return _Page(int(following), {key: answer if counts_uses else -answer for key, answer in known})
