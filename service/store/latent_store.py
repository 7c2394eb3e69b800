"""Strings by key, and the leases under which they are written. Knows nothing of pictures.

A lease is a string too: the process that has put its token there holds the lease until it ends. A write under a lease
happens only while the lease still holds that token. Each check and the write that depends on it are one script in the
server, because a fill, a purge or an eviction could come between two commands. A string and its lease have the same
hash slot.
"""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from service.store.connection import Connection
from service.store.hotness import hottest_first
from service.store.random_sample import Sample, sampled

# Valkey 8.1 has SET ... IFEQ for this; Redis 7 has not.
# pcall: GET fails if the key holds another type than a string, which counts as another string.
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
# ARGV[4]: the string that KEYS[3] must hold; empty for any. ARGV[5]: its new string; empty to leave it.
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
    """The key of a lease, and the secret that proves who holds it."""

    lease: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class Beside:
    """A string that leads to other strings, such as a vary rule: it is checked and written in the same step as one.

    It lasts as long as the longest of the strings that it leads to.
    """

    key: bytes
    was: bytes
    """The string that must be there, else nothing is written; empty for any."""
    becomes: bytes
    """The string to write there; empty to leave the present one."""


class LatentStore:
    """The store of one edge. Every method raises StoreUnavailable."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, key: bytes) -> bytes | None:
        """Return the string under a key, or None. Raises DamagedRecord if the key holds another type."""
        return self._string(await self._connection.get(key))

    async def peek(self, key: bytes) -> bytes | None:
        """Return the same, but without marking the key as used, so that the store's eviction order stays."""
        async with self._connection.asking() as redis:
            # A cluster's client chooses a connection for each command, so there it counts.
            value = await (_untouched(redis, key) if isinstance(redis, Redis) else redis.get(key))
        return self._string(value)

    async def hottest(self, *, prefix: bytes) -> list[bytes]:
        """Return all keys with a prefix: the most often used (LFU) or the last used (other policies) come first."""
        return await hottest_first(self._connection, prefix=prefix)

    async def put(self, key: bytes, value: bytes, *, ttl_s: int, under: Token, beside: Beside | None = None) -> bool:
        """Store a string for a time and end the lease. Return whether the lease was still held.

        Every key of a picture has an expiry time, because only such keys are evicted.
        """
        return await self._written(_PUT, key, value, ttl_s, under, beside)

    async def add(self, key: bytes, value: bytes, *, ttl_s: int, under: Token, beside: Beside | None = None) -> bool:
        """Do as `put` does, but only if the key holds no string yet."""
        return await self._written(_ADD, key, value, ttl_s, under, beside)

    async def remove(self, key: bytes, value: bytes) -> None:
        """Delete the string if it is still this one."""
        await self._told(_GIVE_BACK, (key,), (value,))

    async def delete(self, key: bytes, *, lease: bytes) -> int:
        """Delete a string and end its lease, whoever holds it. Return the number of deleted strings: 0 or 1."""
        return int(str(await self._told(_DELETE, (key, lease), ())))

    async def end(self, lease: bytes) -> None:
        """End a lease, whoever holds it."""
        async with self._connection.asking() as redis:
            await redis.delete(lease)

    async def replace(
        self, key: bytes, value: bytes, *, instead_of: bytes, ttl_s: int | None = None, beside: Beside | None = None
    ) -> bool:
        """Overwrite the string if it is still `instead_of`. Return whether it was. It keeps its expiry without `ttl_s`.

        A deleted string is never brought back. The string of `beside` must be there, and only expires later.
        """
        assert beside is None or ttl_s is not None, "an end that both can have"
        keys = (key,) if beside is None else (key, beside.key)
        end = () if ttl_s is None else (ttl_s,)
        was = () if beside is None else (beside.was,)
        return await self._told(_REPLACE, keys, (instead_of, value, *end, *was)) == 1

    async def take(self, token: Token, *, ttl_ms: int) -> bytes:
        """Take a lease if it is free. Return the secret that it holds now."""
        holder = await self._told(_TAKE, (token.lease,), (token.secret, ttl_ms))
        if not isinstance(holder, bytes):
            raise self._connection.failure("the store answers with something else than bytes")
        return holder

    async def extend(self, token: Token, *, ttl_ms: int) -> bool:
        """Renew a lease. Return whether it was still held."""
        return await self._told(_EXTEND, (token.lease,), (token.secret, ttl_ms)) == 1

    async def give_back(self, token: Token) -> None:
        """End a lease, if it is still held."""
        await self._told(_GIVE_BACK, (token.lease,), (token.secret,))

    async def leave(self, token: Token, mark: bytes, *, ttl_ms: int) -> None:
        """End a lease, if it is still held, and leave a mark in its place for a time."""
        await self._told(_GIVE_BACK, (token.lease,), (token.secret, mark, ttl_ms))

    async def sample(self, *, prefix: bytes, size: int) -> Sample:
        """Return figures for the gauges: of the whole store if it is small, else of a random part of it."""
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
