"""List the keys of a store, hottest first. Listing changes nothing, and does not count as a use of the keys.

With an LFU eviction policy the server counts the uses of a key (OBJECT FREQ). With any other policy it records the time
since the last use (OBJECT IDLETIME).
"""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from service.store.connection import Connection

PAGE = 500
"""The number of keys that one SCAN asks for (assumed). It takes a few milliseconds, far less than a store timeout."""


@dataclass(frozen=True, slots=True)
class _Page:
    cursor: int
    """The SCAN cursor of the next page; 0 after the last page."""
    heat: dict[bytes, int]
    """For each key, OBJECT FREQ or the negative of OBJECT IDLETIME in seconds: a larger number is hotter."""


async def hottest_first(connection: Connection, *, prefix: bytes) -> list[bytes]:
    """Return all keys with a prefix, hottest first. Raises StoreUnavailable."""
    heat: dict[bytes, int] = {}
    async with connection.servers() as servers:
        machines = len(servers)
    for machine in range(machines):
        cursor = None
        while cursor != 0:
            async with connection.servers() as servers:  # each block, and so each page, has its own timeout
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
    # The reply for a key that has expired since the SCAN is not an integer, so the key is left out.
    pairs = zip(keys, answers, strict=True)
    known = [(key, answer) for key, answer in pairs if isinstance(key, bytes) and isinstance(answer, int)]
    return _Page(int(following), {key: answer if counts_uses else -answer for key, answer in known})
