"""Read and write strings by key, under leases that guard the writes. This file knows nothing about pictures.

A lease is a key that holds the secret of one process. A write under a lease succeeds only while the lease still holds
that secret: `latent_scripts` has the checks. A string and its lease are in the same hash slot of a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from service.store import latent_scripts as scripts
from service.store.cold_sample import ColdSample, sample_cold
from service.store.connection import Connection
from service.store.hotness import hottest_first
from service.store.random_sample import Sample, sample_servers

_WITHOUT_END = -1
"""PTTL's answer for a key without an expiry."""


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
        written = int(str(await self._eval(scripts.PUT, keys, arguments)))
        if written > 1:
            self._on_dropped(written - 1)
        return written > 0

    async def add(self, key: bytes, value: bytes, *, ttl_s: int, under: Token, beside: Beside | None = None) -> bool:
        """Do the same as `put`, but only if the key does not exist yet."""
        return await self._eval(scripts.ADD, *_to_write(key, value, ttl_s, under, beside)) == 1

    async def remove(self, key: bytes, value: bytes) -> None:
        """Delete the key if it still holds `value`."""
        await self._eval(scripts.GIVE_BACK, (key,), (value,))

    async def delete(self, key: bytes, *, lease: bytes, mark: Mark) -> int:
        """Delete a string, end its lease even if another process holds it, and set and publish a mark.

        Return the number of deleted strings: 0 or 1.
        """
        return int(
            str(await self._eval(scripts.DELETE, (key, lease, mark.key), (mark.value, mark.ttl_ms, mark.channel)))
        )

    async def set_mark(self, key: bytes, mark: Mark) -> None:
        """Set and publish a mark about a string. It replaces an earlier mark under the same key."""
        await self._eval(scripts.MARK, (mark.key, key), (mark.value, mark.ttl_ms, mark.channel))

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
        return await self._eval(scripts.REPLACE, keys, (instead_of, value, *end, *was)) == 1

    async def take(self, token: Token, *, ttl_ms: int) -> bytes:
        """Take a lease for `ttl_ms` if it is free. Return the secret of its holder, or the mark that `leave` stored."""
        holder = await self._eval(scripts.TAKE, (token.lease,), (token.secret, ttl_ms))
        if not isinstance(holder, bytes):
            raise self._connection.failure("the store's reply to a lease script is not a string")
        return holder

    async def extend(self, tokens: Sequence[Token], *, ttl_ms: int) -> list[bool]:
        """Extend leases to `ttl_ms` from now, in one round trip. Return for each whether it was still held."""
        async with self._connection.client(None, reserved=True) as redis:
            pipeline = redis.pipeline(transaction=False)
            for token in tokens:
                pipeline.eval(scripts.EXTEND, 1, token.lease, token.secret, ttl_ms)
            return [answer == 1 for answer in await pipeline.execute()]

    async def remaining_ms(self, lease: bytes) -> int | None:
        """Return for how long a lease is still held: 0 if it has ended, None if it never ends."""
        async with self._connection.client(lease) as redis:
            remaining_ms = int(await redis.pttl(lease))
        return None if remaining_ms == _WITHOUT_END else max(0, remaining_ms)

    async def give_back(self, token: Token) -> None:
        """End a lease, if it is still held."""
        await self._eval(scripts.GIVE_BACK, (token.lease,), (token.secret,))

    async def leave(self, token: Token, mark: bytes, *, ttl_ms: int) -> None:
        """End a lease, if it is still held, and store a mark in its place for `ttl_ms`."""
        await self._eval(scripts.GIVE_BACK, (token.lease,), (token.secret, mark, ttl_ms))

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
    """Return the keys and arguments of scripts.PUT and scripts.ADD."""
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
