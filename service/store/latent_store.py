"""Read and write strings by key, under leases that guard the writes. This file knows nothing about pictures.

A lease is a key that holds the secret of one process. A write under a lease succeeds only while the lease still holds
that secret. Each check and the write that depends on it run as one script in the server, because a fill, a purge or an
eviction could happen between two commands. A string and its lease are in the same hash slot of a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from service.store.cold_sample import ColdSample, sample_cold
from service.store.connection import Connection
from service.store.hotness import hottest_first
from service.store.random_sample import Sample, sample_servers

# Replace a string that has not changed. Valkey 8.1 has SET ... IFEQ for this, but Redis 7 does not.
# The scripts use pcall, because GET raises an error on a key of another type. Such a key counts as changed.
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
# In _PUT and _ADD, ARGV[4] is the string that KEYS[3] must hold (empty: any), and ARGV[5] is its new string (empty: it
# does not change). ARGV[6] is the most strings that the list in KEYS[4] may name, if there is such a list.
_PUT = """
if redis.pcall('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[4] ~= '' and redis.pcall('GET', KEYS[3]) ~= ARGV[4] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[5] ~= '' then
  if ARGV[5] == ARGV[4] then redis.call('EXPIRE', KEYS[3], ARGV[3], 'GT')
  else redis.call('SET', KEYS[3], ARGV[5], 'EX', ARGV[3]) end
end
local dropped = 0
if ARGV[6] and redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('LREM', KEYS[4], 0, KEYS[1])
  redis.call('RPUSH', KEYS[4], KEYS[1])
  while redis.call('LLEN', KEYS[4]) > tonumber(ARGV[6]) do
    dropped = dropped + redis.call('DEL', redis.call('LPOP', KEYS[4]))
  end
end
if ARGV[6] and redis.call('TTL', KEYS[4]) < tonumber(ARGV[3]) then redis.call('EXPIRE', KEYS[4], ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1 + dropped
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
_WITHOUT_END = -1
"""PTTL's answer for a key without an expiry."""
# A full store refuses a SET, but not in a script that has written before. So a DEL comes first: it is never refused.
_DELETE = """
local deleted = redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[3], KEYS[1])
return deleted
"""
_MARK = """
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[3], KEYS[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class Token:
    """The key of a lease, and the secret with which one process holds it."""

    lease: bytes
    secret: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A string that marks an event, such as a purge: its key, a value that is new for each event, and its TTL."""

    key: bytes
    value: bytes
    ttl_ms: int
    channel: bytes
    """Where the event is published, too, as the key that it is about."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A second string, such as a vary rule, that is checked and written in the same script as a record.

    It never expires earlier than the records that depend on it.
    """

    key: bytes
    was: bytes
    """The value that the key must hold, else nothing is written. Empty means any value."""
    becomes: bytes
    """The new value of the key. Empty means that the value does not change."""


@dataclass(frozen=True, slots=True)
class Group:
    """Strings of which the store keeps a limited number. The one that was stored first is deleted first."""

    key: bytes
    """The key of the list of the strings' keys. It is in the same hash slot as the strings."""
    most: int


class LatentStore:
    """The store of one edge. Every method raises StoreUnavailable if the store fails."""

    def __init__(self, connection: Connection, *, on_dropped: Callable[[int], None] = lambda _count: None) -> None:
        """`on_dropped` is called with the number of strings that were deleted because their group was full."""
        self._connection = connection
        self._on_dropped = on_dropped

    async def get(self, key: bytes) -> bytes | None:
        """Return the string under a key, or None if there is none. Raises DamagedRecord for a key of another type."""
        return self._string(await self._connection.get(key))

    async def peek(self, key: bytes) -> bytes | None:
        """Return what `get` returns, without counting a use of the key, so that the eviction order does not change."""
        async with self._connection.client(key) as redis:
            # CLIENT NO-TOUCH applies to one connection. The client of a cluster chooses a connection for each command,
            # so in a cluster the GET does count as a use.
            value = await (_get_without_touch(redis, key) if isinstance(redis, Redis) else redis.get(key))
        return self._string(value)

    async def hottest(self, *, prefix: bytes) -> list[bytes]:
        """Return all keys with a prefix, the most often used (LFU) or most recently used (other policies) first."""
        return await hottest_first(self._connection, prefix=prefix)

    async def sample_cold(self, *, prefix: bytes, above: float, head_bytes: int) -> ColdSample:
        """Return cold keys with a prefix, of each server that uses more than the share `above` of its memory."""
        return await sample_cold(self._connection, prefix=prefix, above=above, head_bytes=head_bytes)

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        ttl_s: int,
        under: Token,
        beside: Beside | None = None,
        group: Group | None = None,
    ) -> bool:
        """Store a string for `ttl_s` seconds, and end the lease `under`. Return whether the string was stored.

        It is not stored if the lease was lost, or if the key of `beside` has changed. Every key of a picture has an
        expiry time, because volatile-lfu evicts only keys that have one.
        """
        keys, arguments = _to_write(key, value, ttl_s, under, beside)
        if group is not None:
            keys, arguments = (*keys, group.key), (*arguments, group.most)
        written = int(str(await self._eval(_PUT, keys, arguments)))
        if written > 1:
            self._on_dropped(written - 1)
        return written > 0

    async def add(self, key: bytes, value: bytes, *, ttl_s: int, under: Token, beside: Beside | None = None) -> bool:
        """Do the same as `put`, but only if the key does not exist yet."""
        return await self._eval(_ADD, *_to_write(key, value, ttl_s, under, beside)) == 1

    async def remove(self, key: bytes, value: bytes) -> None:
        """Delete the key if it still holds `value`."""
        await self._eval(_GIVE_BACK, (key,), (value,))

    async def delete(self, key: bytes, *, lease: bytes, mark: Mark) -> int:
        """Delete a string, end its lease even if another process holds it, and set and publish a mark.

        Return the number of deleted strings: 0 or 1.
        """
        return int(str(await self._eval(_DELETE, (key, lease, mark.key), (mark.value, mark.ttl_ms, mark.channel))))

    async def set_mark(self, key: bytes, mark: Mark) -> None:
        """Set and publish a mark about a string. It replaces an earlier mark under the same key."""
        await self._eval(_MARK, (mark.key, key), (mark.value, mark.ttl_ms, mark.channel))

    async def end(self, lease: bytes) -> None:
        """End a lease, even if another process holds it."""
        async with self._connection.client(lease) as redis:
            await redis.delete(lease)

    async def replace(
        self, key: bytes, value: bytes, *, instead_of: bytes, ttl_s: int | None = None, beside: Beside | None = None
    ) -> bool:
        """Overwrite the string if it is still `instead_of`, and return whether it was overwritten.

        A deleted string stays deleted. Without `ttl_s`, the expiry time does not change. The key of `beside` must hold
        `beside.was`; it is not written, but its expiry time is extended if `ttl_s` ends later.
        """
        assert beside is None or ttl_s is not None, "`beside` is extended by the new expiry"
        keys = (key,) if beside is None else (key, beside.key)
        end = () if ttl_s is None else (ttl_s,)
        was = () if beside is None else (beside.was,)
        return await self._eval(_REPLACE, keys, (instead_of, value, *end, *was)) == 1

    async def take(self, token: Token, *, ttl_ms: int) -> bytes:
        """Take a lease for `ttl_ms` if it is free. Return the secret of its holder, or the mark that `leave` stored."""
        holder = await self._eval(_TAKE, (token.lease,), (token.secret, ttl_ms))
        if not isinstance(holder, bytes):
            raise self._connection.failure("the store's reply to a lease script is not a string")
        return holder

    async def extend(self, tokens: Sequence[Token], *, ttl_ms: int) -> list[bool]:
        """Extend leases to `ttl_ms` from now, in one round trip. Return for each whether it was still held."""
        async with self._connection.client(None, reserved=True) as redis:
            pipeline = redis.pipeline(transaction=False)
            for token in tokens:
                pipeline.eval(_EXTEND, 1, token.lease, token.secret, ttl_ms)
            return [answer == 1 for answer in await pipeline.execute()]

    async def remaining_ms(self, lease: bytes) -> int | None:
        """Return for how long a lease is still held: 0 if it has ended, None if it never ends."""
        async with self._connection.client(lease) as redis:
            remaining_ms = int(await redis.pttl(lease))
        return None if remaining_ms == _WITHOUT_END else max(0, remaining_ms)

    async def give_back(self, token: Token) -> None:
        """End a lease, if it is still held."""
        await self._eval(_GIVE_BACK, (token.lease,), (token.secret,))

    async def leave(self, token: Token, mark: bytes, *, ttl_ms: int) -> None:
        """End a lease, if it is still held, and store a mark in its place for `ttl_ms`."""
        await self._eval(_GIVE_BACK, (token.lease,), (token.secret, mark, ttl_ms))

    async def sample(self, *, prefix: bytes, size: int) -> Sample:
        """Return how full the store is, and a random sample of about `size` strings under a prefix (or all strings)."""
        async with self._connection.servers() as servers:
            return await sample_servers(servers, prefix=prefix, size=size)

    def _string(self, value: object) -> bytes | None:
        if value is not None and not isinstance(value, bytes):
            raise self._connection.failure("the store's reply to GET is not a string")
        return value

    async def _eval(self, script: str, keys: tuple[bytes, ...], arguments: tuple[bytes | int, ...]) -> object:
        async with self._connection.client(keys[0]) as redis:
            return await redis.eval(script, len(keys), *keys, *arguments)


def _to_write(
    key: bytes, value: bytes, ttl_s: int, under: Token, beside: Beside | None
) -> tuple[tuple[bytes, ...], tuple[bytes | int, ...]]:
    """Return the keys and arguments of _PUT and _ADD."""
    other = Beside(key, was=b"", becomes=b"") if beside is None else beside
    return (key, under.lease, other.key), (under.secret, value, ttl_s, other.was, other.becomes)


async def _get_without_touch(redis: Redis, key: bytes) -> object:
    pipeline = redis.pipeline(transaction=False)
    pipeline.client_no_touch("ON")
    pipeline.get(key)
    pipeline.client_no_touch("OFF")
    # Redis before 7.2 does not know CLIENT NO-TOUCH and replies to it with an error, but still answers the GET.
    _, value, _ = await pipeline.execute(raise_on_error=False)
    if isinstance(value, Exception):
        raise value
    return value
