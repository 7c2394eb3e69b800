"""Strings by key, and the leases under which they are written. Knows nothing of pictures.

A lease is a string too: whoever has put a token there holds it until it ends, and what is written under a lease is
written only while it still holds that token. What must not be torn apart is one script in the server: between a look
and a SET from here, anyone could fill, purge or evict. A string and its lease have the same hash slot.
"""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from service.store.connection import Connection
from service.store.hotness import hottest_first
from service.store.random_sample import Sample, sampled

# Valkey 8.1 has SET ... IFEQ for this; Redis 7 has not.
# pcall: something else than a string under the key is an error of GET, and as good as another string.
_REPLACE = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if KEYS[2] and redis.pcall('GET', KEYS[2]) ~= ARGV[4] then return 0 end
if ARGV[3] then redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
else redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') end
if KEYS[2] then redis.call('EXPIRE', KEYS[2], ARGV[3], 'GT') end
return 1
"""
_TAKE = """
local holder = redis.pcall('GET', KEYS[1])
if type(holder) == 'string' then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""
_EXTEND = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_GIVE_BACK = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else redis.call('DEL', KEYS[1]) end
return 1
"""
# ARGV[4] and [5]: what must be beside it, and what is to be there; empty for anything, and for what is there.
_PUT = """
if redis.pcall('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[4] ~= '' and redis.pcall('GET', KEYS[3]) ~= ARGV[4] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[5] ~= '' then
  if ARGV[5] == ARGV[4] then redis.call('EXPIRE', KEYS[3], ARGV[3], 'GT')
  else redis.call('SET', KEYS[3], ARGV[5], 'EX', ARGV[3]) end
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
_ADD = """
if redis.pcall('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[4] ~= '' and redis.pcall('GET', KEYS[3]) ~= ARGV[4] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[5] ~= '' and ARGV[5] ~= ARGV[4] then
  if not redis.call('SET', KEYS[3], ARGV[5], 'EX', ARGV[3], 'NX') then return 0 end
end
if redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3], 'NX') then return 1 end
return 0
"""
_DELETE = """
redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[1])
"""


@dataclass(frozen=True, slots=True)
class Token:
    """The proof that one may write under a lease."""

    lease: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class Beside:
    """A string without which another one cannot be found: it is judged and written in the same step as that one.

    It lasts as long as the longest of those that are found by it.
    """

    key: bytes
    was: bytes
    """What must be there, else nothing is written; empty for whatever is."""
    becomes: bytes
    """Empty for what is there."""


class LatentStore:
    """The store of one edge. Every method raises StoreUnavailable."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, key: bytes) -> bytes | None:
        """The string under a key, if there is one. Raises DamagedRecord where there is something else than a string."""
        return self._string(await self._connection.get(key))

    async def peek(self, key: bytes) -> bytes | None:
        """The same, but it does not count as a use of the key, by which the store chooses what to evict."""
        async with self._connection.asking() as redis:
            # A cluster's client chooses a connection for each command, so there it counts.
            value = await (_untouched(redis, key) if isinstance(redis, Redis) else redis.get(key))
        return self._string(value)

    async def hottest(self, *, prefix: bytes) -> list[bytes]:
        """All keys with a prefix, those first that are asked for most often, or were asked for last."""
        return await hottest_first(self._connection, prefix=prefix)

    async def put(self, key: bytes, value: bytes, *, ttl_s: int, under: Token, beside: Beside | None = None) -> bool:
        """Store a string for a time and end the lease; whether it was still held.

        All that the store holds of pictures has an end: only such keys are evicted.
        """
        return await self._written(_PUT, key, value, ttl_s, under, beside)

    async def add(self, key: bytes, value: bytes, *, ttl_s: int, under: Token, beside: Beside | None = None) -> bool:
        """As `put`, but only where there is no string yet."""
        return await self._written(_ADD, key, value, ttl_s, under, beside)

    async def remove(self, key: bytes, value: bytes) -> None:
        """Delete exactly this string."""
        await self._told(_GIVE_BACK, (key,), (value,))

    async def delete(self, key: bytes, *, lease: bytes) -> int:
        """Delete a string and end its lease, whoever holds it; how many strings there were."""
        return int(str(await self._told(_DELETE, (key, lease), ())))

    async def end(self, lease: bytes) -> None:
        """End a lease, whoever holds it."""
        async with self._connection.asking() as redis:
            await redis.delete(lease)

    async def replace(
        self, key: bytes, value: bytes, *, instead_of: bytes, ttl_s: int | None = None, beside: Beside | None = None
    ) -> bool:
        """Overwrite exactly this string; whether it was still there. It keeps its end unless it gets another.

        Nothing comes back to life. What is beside it only gets a later end, and must be there.
        """
        assert beside is None or ttl_s is not None, "an end that both can have"
        keys = (key,) if beside is None else (key, beside.key)
        end = () if ttl_s is None else (ttl_s,)
        was = () if beside is None else (beside.was,)
        return await self._told(_REPLACE, keys, (instead_of, value, *end, *was)) == 1

    async def take(self, token: Token, *, ttl_ms: int) -> bytes:
        """Take a lease if it is free; the secret that is there now."""
        holder = await self._told(_TAKE, (token.lease,), (token.secret, ttl_ms))
        if not isinstance(holder, bytes):
            raise self._connection.failure("the store answers with something else than bytes")
        return holder

    async def extend(self, token: Token, *, ttl_ms: int) -> bool:
        """Let a lease begin anew; whether it was still held."""
        return await self._told(_EXTEND, (token.lease,), (token.secret, ttl_ms)) == 1

    async def give_back(self, token: Token) -> None:
        """End a lease, if it is still held."""
        await self._told(_GIVE_BACK, (token.lease,), (token.secret,))

    async def leave(self, token: Token, mark: bytes, *, ttl_ms: int) -> None:
        """End a lease, if it is still held, and leave a mark in its place for a time."""
        await self._told(_GIVE_BACK, (token.lease,), (token.secret, mark, ttl_ms))

    async def sample(self, *, prefix: bytes, size: int) -> Sample:
        """Figures for the gauges: the whole store if it is small, else a random part of it."""
        async with self._connection.asking_each() as servers:
            return await sampled(servers, prefix=prefix, size=size)

    def _string(self, value: object) -> bytes | None:
        if value is not None and not isinstance(value, bytes):
            raise self._connection.failure("the store answers with something else than bytes")
        return value

    async def _written(
        self, script: str, key: bytes, value: bytes, ttl_s: int, under: Token, beside: Beside | None
    ) -> bool:
        other = Beside(key, was=b"", becomes=b"") if beside is None else beside
        arguments = (under.secret, value, ttl_s, other.was, other.becomes)
        return await self._told(script, (key, under.lease, other.key), arguments) == 1

    async def _told(self, script: str, keys: tuple[bytes, ...], arguments: tuple[bytes | int, ...]) -> object:
        async with self._connection.asking() as redis:
            return await redis.eval(script, len(keys), *keys, *arguments)


async def _untouched(redis: Redis, key: bytes) -> object:
    pipeline = redis.pipeline(transaction=False)
    pipeline.client_no_touch("ON")
    pipeline.get(key)
    pipeline.client_no_touch("OFF")
    # A server that does not know the first and the last (Redis before 7.2) answers the second all the same.
    _, value, _ = await pipeline.execute(raise_on_error=False)
    if isinstance(value, Exception):
        raise value
    return value
