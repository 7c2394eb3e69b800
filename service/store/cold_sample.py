"""Find rarely used strings of servers that are nearly full, by a random sample of their keys. Changes nothing.

The server keeps no order of its keys. So, as its own eviction does, this draws some keys at random and compares them by
the server's counters: OBJECT FREQ with an LFU policy, else OBJECT IDLETIME. No command here counts as a use of a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from service.store.connection import Connection

SAMPLE = 64
"""The number of keys that are drawn from each server at a time (assumed): in 96 of 100 samples, the coldest of them is
among the coldest 5 % of all keys."""
COLD_FREQUENCY = 5
"""The largest OBJECT FREQ of a cold key. A new key starts with 5, and by the server's default settings a key keeps more
than that if it is used more often than about once a minute."""
COLD_IDLE_S = 60
"""The smallest OBJECT IDLETIME of a cold key in seconds (assumed: by COLD_FREQUENCY, a cold key is used as rarely)."""
_BY_FREQUENCY = {"allkeys-lfu", "volatile-lfu"}
_BY_IDLE_TIME = {"allkeys-lru", "volatile-lru", "noeviction"}


@dataclass(frozen=True, slots=True)
class ColdString:
    """A rarely used string: its key and its first bytes."""

    key: bytes
    head: bytes


@dataclass(frozen=True, slots=True)
class ColdSample:
    """Rarely used strings of the servers that use more than a share of their memory, coldest first for each server."""

    strings: tuple[ColdString, ...] = ()
    unsupported_policy: str = ""
    """The eviction policy of a full server whose counters do not tell which keys are cold; empty if there is none."""


async def sample_cold(connection: Connection, *, prefix: bytes, above: float, head_bytes: int) -> ColdSample:
    """Return cold strings under a prefix, from each server that uses more than the share `above` of its maxmemory.

    Raises StoreUnavailable.
    """
    async with connection.servers() as servers:
        machines = len(servers)
    found: list[ColdString] = []
    unsupported = ""
    for machine in range(machines):
        async with connection.servers() as servers:  # each block, and so each server, has its own timeout
            if machine >= len(servers):  # the cluster has lost a node meanwhile
                break
            part = await _sample(servers[machine], prefix, above, head_bytes)
        found += part.strings
        unsupported = unsupported or part.unsupported_policy
    return ColdSample(tuple(found), unsupported)


async def _sample(server: Redis, prefix: bytes, above: float, head_bytes: int) -> ColdSample:
    memory = await server.info("memory")
    limit_bytes, policy = int(memory.get("maxmemory", 0)), str(memory.get("maxmemory_policy", ""))
    if not limit_bytes or int(memory["used_memory"]) <= above * limit_bytes:
        return ColdSample()
    if policy not in _BY_FREQUENCY | _BY_IDLE_TIME:
        return ColdSample(unsupported_policy=policy)
    keys = await _draw(server, prefix)
    cold = await _keep_cold(server, keys, counts_uses=policy in _BY_FREQUENCY) if keys else []
    return ColdSample(await _read_heads(server, cold, head_bytes) if cold else ())


async def _draw(server: Redis, prefix: bytes) -> list[bytes]:
    pipeline = server.pipeline(transaction=False)
    for _ in range(SAMPLE):
        pipeline.randomkey()
    drawn = await pipeline.execute()
    return [key for key in dict.fromkeys(drawn) if isinstance(key, bytes) and key.startswith(prefix)]


async def _keep_cold(server: Redis, keys: Sequence[bytes], *, counts_uses: bool) -> list[bytes]:
    pipeline = server.pipeline(transaction=False)
    for key in keys:
        pipeline.object("FREQ" if counts_uses else "IDLETIME", key)
    # The reply for a key that has expired meanwhile is not an integer, so the key is left out.
    replies = zip(keys, await pipeline.execute(raise_on_error=False), strict=True)
    known = [(key, reply) for key, reply in replies if isinstance(reply, int)]
    if counts_uses:
        cold = [(reply, key) for key, reply in known if reply <= COLD_FREQUENCY]
    else:
        cold = [(-reply, key) for key, reply in known if reply >= COLD_IDLE_S]
    return [key for _, key in sorted(cold)]


async def _read_heads(server: Redis, keys: Sequence[bytes], head_bytes: int) -> tuple[ColdString, ...]:
    pipeline = server.pipeline(transaction=False)
    # Redis before 7.2 does not know CLIENT NO-TOUCH and answers it with an error. There, the reads count as uses.
    pipeline.client_no_touch("ON")
    for key in keys:
        pipeline.getrange(key, 0, head_bytes - 1)
    pipeline.client_no_touch("OFF")
    _, *heads, _ = await pipeline.execute(raise_on_error=False)
    return tuple(ColdString(key, head) for key, head in zip(keys, heads, strict=True) if isinstance(head, bytes))
