"""Strings by key in a Redis or Valkey. Knows nothing of pictures; a store that fails is StoreUnavailable.

A store that answers late is as bad as none: after a time-out it is left alone for a while, so that one request in a
while pays for the wait and not all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import DamagedRecord, StoreUnavailable

# Assumed: a GET takes a tenth of a millisecond of this process, so more connections would only take longer to open.
CONNECTIONS = 16
# Valkey 8.1 has SET ... IFEQ for this; Redis 7 has not.
# pcall: something else than a string under the key is an error of GET, and as good as another string.
_REPLACE = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] then redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
else redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') end
return 1
"""
_WRONG_TYPE = "WRONGTYPE"
"""The code of an error is the first word of its line (the Redis protocol); this one has no class of its own."""


@dataclass(frozen=True, slots=True)
class StoredValue:
    """One string, and what it costs the store with its key and bookkeeping."""

    value: bytes
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """How full the store is, and a random part of what it holds."""

    objects: int
    used_bytes: int
    limit_bytes: int
    evicted_total: int
    values: tuple[StoredValue, ...]


class Observer(Protocol):
    """Who raises the alarm."""

    def store_failed(self) -> None:
        """A command was not answered."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a late answer is waited for, and how long its store is then left alone."""

    timeout_s: float
    retry_s: float


class LatentStore:
    """The store of one edge."""

    def __init__(
        self, url: str, *, patience: Patience, observer: Observer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=patience.timeout_s,
            socket_connect_timeout=patience.timeout_s,
            # One more try, on a new connection: the pool may hold connections to a server that has been restarted.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        self._redis = redis.asyncio.Redis(connection_pool=self._pool, decode_responses=False)
        self._patience = patience
        self._observer = observer
        self._clock = clock
        self._alone_until_s = float("-inf")

    async def get(self, key: bytes) -> bytes | None:
        """The string under a key, if there is one. Raises DamagedRecord where there is something else than a string."""
        async with self._asking():
            value = await self._redis.get(key)
        if value is not None and not isinstance(value, bytes):
            raise self._failure("the store answers with something else than bytes")
        return value

    async def put(self, key: bytes, value: bytes, *, ttl_s: int) -> None:
        """Store a string for a time. All that the store holds of pictures has an end: only such keys are evicted."""
        async with self._asking():
            await self._redis.set(key, value, ex=ttl_s)

    async def add(self, key: bytes, value: bytes, *, ttl_s: int) -> bool:
        """Store a string for a time, but only where there is none; whether that was so."""
        async with self._asking():
            return bool(await self._redis.set(key, value, ex=ttl_s, nx=True))

    async def replace(self, key: bytes, value: bytes, *, instead_of: bytes, ttl_s: int | None = None) -> bool:
        """Overwrite exactly this string; whether it was still there. It keeps its end unless it gets another.

        Nothing comes back to life.
        """
        end = [] if ttl_s is None else [ttl_s]
        async with self._asking():
            # In the server, in one go: between a look and a SET from here, anyone could fill, purge or evict.
            return bool(await self._redis.eval(_REPLACE, 1, key, instead_of, value, *end))

    async def sample(self, *, prefix: bytes, size: int) -> Sample:
        """Figures for the gauges: the whole store if it is small, else a random part of it."""
        async with self._asking():
            return await self._sample(prefix, size)

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()
        await self._pool.aclose()  # a pool that is passed in is not the client's to close

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        if self._clock() < self._alone_until_s:
            raise self._failure("left alone after a time-out")
        try:
            async with asyncio.timeout(self._patience.timeout_s):
                yield
        except (TimeoutError, RedisTimeoutError) as error:
            self._alone_until_s = self._clock() + self._patience.retry_s
            raise self._failure(f"no answer within {self._patience.timeout_s} s") from error
        except (RedisError, OSError) as error:
            if isinstance(error, ResponseError) and str(error).startswith(_WRONG_TYPE):
                # The store is well: a SET will replace what someone else has put there.
                raise DamagedRecord("not a string") from error
            raise self._failure(f"{type(error).__name__}: {error}") from error

    def _failure(self, why: str) -> StoreUnavailable:
        self._observer.store_failed()
        return StoreUnavailable(why)

    async def _sample(self, prefix: bytes, size: int) -> Sample:
        memory = await self._redis.info("memory")
        stats = await self._redis.info("stats")
        objects = int(await self._redis.dbsize())
        keys = await self._keys(prefix, objects=objects, size=size)
        return Sample(
            objects=objects,
            used_bytes=int(memory["used_memory"]),
            limit_bytes=int(memory["maxmemory"]),
            evicted_total=int(stats["evicted_keys"]),
            values=await self._values(keys),
        )

    async def _keys(self, prefix: bytes, *, objects: int, size: int) -> list[bytes]:
        if objects <= size:
            return [key async for key in self._redis.scan_iter(match=prefix + b"*", count=size)]
        pipeline = self._redis.pipeline(transaction=False)
        for _ in range(size):
            pipeline.randomkey()
        drawn = await pipeline.execute()
        return [key for key in drawn if isinstance(key, bytes) and key.startswith(prefix)]

    async def _values(self, keys: list[bytes]) -> tuple[StoredValue, ...]:
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.get(key)
            pipeline.memory_usage(key)
        # A key of someone else's may hold another type; an expired one holds nothing.
        answers = await pipeline.execute(raise_on_error=False) if keys else []
        pairs = zip(answers[::2], answers[1::2], strict=True)
        strings = ((value, memory) for value, memory in pairs if isinstance(value, bytes))
        return tuple(StoredValue(value, memory) for value, memory in strings if isinstance(memory, int))
