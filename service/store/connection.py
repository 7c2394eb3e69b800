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

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import DamagedRecord, StoreUnavailable

# Assumed: a GET takes a tenth of a millisecond of this process, so more connections would only take longer to open.
CONNECTIONS = 16
_WRONG_TYPE = "WRONGTYPE"
"""The code of an error is the first word of its line (the Redis protocol); this one has no class of its own."""


class Observer(Protocol):
    """Who raises the alarm."""

    def store_failed(self) -> None:
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

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()
        await self._pool.aclose()  # a pool that is passed in is not the client's to close

    def subscription(self) -> PubSub:
        """A connection that takes messages; to be closed by its block. Raises errors of redis-py."""
        return self._redis.pubsub()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[redis.asyncio.Redis]:
        """The client for one question. Raises StoreUnavailable, or DamagedRecord for a key of another type."""
        if self._clock() < self._alone_until_s:
            raise self.failure("left alone after a time-out")
        try:
            async with asyncio.timeout(self._patience.timeout_s):
                yield self._redis
        except (TimeoutError, RedisTimeoutError) as error:
            self._alone_until_s = self._clock() + self._patience.retry_s
            raise self.failure(f"no answer within {self._patience.timeout_s} s") from error
        except (RedisError, OSError) as error:
            if isinstance(error, ResponseError) and str(error).startswith(_WRONG_TYPE):
                # The store is well: a SET will replace what someone else has put there.
                raise DamagedRecord("not a string") from error
            raise self.failure(f"{type(error).__name__}: {error}") from error

    def failure(self, why: str) -> StoreUnavailable:
        """Counted."""
        self._observer.store_failed()
        return StoreUnavailable(why)
