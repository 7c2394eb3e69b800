"""The way to a Redis or Valkey: its connections, how long it is waited for, and its errors as ours.

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

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import DamagedRecord, StoreUnavailable
from service.store.servers import CONNECTIONS, FAILURES, Client, Servers

_WRONG_TYPE = "WRONGTYPE"
"""The code of an error is the first word of its line (the Redis protocol); this one has no class of its own."""


class Observer(Protocol):
    """Who raises the alarm."""

    def count_store_error(self) -> None:
        """A command was not answered."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a late answer is waited for, and how long its store is then left alone."""

    timeout_s: float
    retry_s: float


class Connection:
    """One process's connections to one store."""

    def __init__(
        self, url: str, *, patience: Patience, observer: Observer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._servers = Servers(url, timeout_s=patience.timeout_s)
        self._places = asyncio.Semaphore(CONNECTIONS)  # a cluster's client does not wait for a connection, it fails
        self._patience = patience
        self._observer = observer
        self._clock = clock
        self._alone_until_s = float("-inf")

    async def close(self) -> None:
        """Give the connections back."""
        await self._servers.close()

    @asynccontextmanager
    async def subscription(self) -> AsyncIterator[PubSub]:
        """A connection that takes messages for as long as the block lasts. Raises errors of redis-py."""
        async with self._servers.any() as server, server.pubsub() as channel:
            yield channel

    async def get(self, key: bytes) -> object:
        """What is under a key. Raises as `asking` does."""
        if self._servers.gets is None:
            async with self.asking() as redis:
                return await redis.get(key)
        self._check_patience()
        try:
            return await self._servers.gets.get(key)
        except (TimeoutError, *FAILURES) as error:
            raise self._translation(error) from error

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Client]:
        """The client for one question. Raises StoreUnavailable, or DamagedRecord for a key of another type."""
        async with self._translated(), self._places:
            yield self._servers.client

    @asynccontextmanager
    async def asking_each(self) -> AsyncIterator[list[Redis]]:
        """The same for a question to every server."""
        async with self._translated(), self._places, self._servers.each() as servers:
            yield servers

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        self._check_patience()
        try:
            async with asyncio.timeout(self._patience.timeout_s):
                yield
        except (TimeoutError, *FAILURES) as error:
            raise self._translation(error) from error

    def _check_patience(self) -> None:
        if self._clock() < self._alone_until_s:
            raise self.failure("left alone after a time-out")

    def _translation(self, error: Exception) -> StoreUnavailable | DamagedRecord:
        if isinstance(error, TimeoutError | RedisTimeoutError):
            self._alone_until_s = self._clock() + self._patience.retry_s
            return self.failure(f"no answer within {self._patience.timeout_s} s")
        if isinstance(error, ResponseError) and str(error).startswith(_WRONG_TYPE):
            # The store works; the key holds another type than a string, and the next SET replaces it.
            return DamagedRecord("not a string")
        return self.failure(f"{type(error).__name__}: {error}")

    def failure(self, why: str) -> StoreUnavailable:
        """Count a failure and return its error."""
        self._observer.count_store_error()
        return StoreUnavailable(why)
