"""Take a random sample of the strings in a store, and read how full the store is. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from redis.asyncio import Redis


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One string of the store, and the memory that it takes, including its key and the server's overhead."""

    key: bytes
    value: bytes
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """How full the store is, and a random sample of its strings under a prefix."""

    objects: int
    """The number of keys with the prefix: exact in a small store, otherwise estimated from the sample."""
    used_bytes: int
    limit_bytes: int
    evicted_total: int
    values: tuple[StoredValue, ...]


async def sample_servers(servers: Sequence[Redis], *, prefix: bytes, size: int) -> Sample:
    """Return one sample of about `size` strings, an equal share from each server.

    All servers are assumed to hold about the same number of keys.
    """
    parts = [await _sample(server, prefix, ceil(size / len(servers))) for server in servers]
    return Sample(
        objects=sum(part.objects for part in parts),
        used_bytes=sum(part.used_bytes for part in parts),
        limit_bytes=sum(part.limit_bytes for part in parts),
        evicted_total=sum(part.evicted_total for part in parts),
        values=tuple(value for part in parts for value in part.values),
    )


async def _sample(store: Redis, prefix: bytes, size: int) -> Sample:
    memory = await store.info("memory")
    stats = await store.info("stats")
    keys = int(await store.dbsize())
    if keys <= size:
        drawn = [key async for key in store.scan_iter(match=prefix + b"*", count=size)]
        objects = len(drawn)
    else:
        drawn = [key for key in await _draw_keys(store, size) if key.startswith(prefix)]
        objects = round(keys * len(drawn) / size)
    return Sample(
        objects=objects,
        used_bytes=int(memory["used_memory"]),
        limit_bytes=int(memory["maxmemory"]),
        evicted_total=int(stats["evicted_keys"]),
        values=await _values(store, drawn),
    )


async def _draw_keys(store: Redis, size: int) -> list[bytes]:
    pipeline = store.pipeline(transaction=False)
    for _ in range(size):
        pipeline.randomkey()
    return [key for key in await pipeline.execute() if isinstance(key, bytes)]


async def _values(store: Redis, keys: list[bytes]) -> tuple[StoredValue, ...]:
    pipeline = store.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key)
        pipeline.memory_usage(key)
    # GET replies with an error for a key of another type (of another program), and with None for an expired key. Both
    # are left out.
    answers = await pipeline.execute(raise_on_error=False) if keys else []
    found = zip(keys, answers[::2], answers[1::2], strict=True)
    strings = ((key, value, memory) for key, value, memory in found if isinstance(value, bytes))
    return tuple(StoredValue(key, value, memory) for key, value, memory in strings if isinstance(memory, int))
