"""Connections to a Redis or Valkey, with timeouts, a back-off, and translation of redis-py's errors.

After a timeout, all commands to the server fail at once for `retry_s` seconds (the back-off), so that not every request
waits for a slow store. A command's wait for a free connection of this process has no timeout, because it says nothing
about the store. Each node of a cluster has its own back-off and its own connections.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import OutOfMemoryError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import DamagedRecord, RecordError, StoreFull, StoreUnavailable
from service.store.failure_reasons import OF_THE_SERVER, READ_ONLY, reason_of
from service.store.outage import Outage
from service.store.recovery import Recovery
from service.store.servers import CONNECTIONS, FAILURES, SERVER, Client, Servers

FULL_S = 60.0
"""Assumed: the store is no longer full if no write has failed for so long. It is written to at misses only."""
RENEW_S = 1.0
"""Assumed: connections to a server that refuses writes are renewed no more often than this."""
_WRONG_TYPE = "WRONGTYPE"
"""Redis' error code for a key of another type: the first word of its error reply. redis-py has no exception for it."""


class Observer(Protocol):
    """Counts failed store commands for metrics."""

    def count_store_error(self, reason: str) -> None:
        """Count a command that failed: timeout, back_off, full or what `reason_of` returns."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The timeout of a store command, and the back-off after a timeout."""

    timeout_s: float
    retry_s: float
    """The back-off in seconds: for this long after a timeout, commands fail at once."""


class Connection:
    """The connections of one process to one store."""

    def __init__(
        self, url: str, *, timeouts: Timeouts, observer: Observer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._servers = Servers(url, timeout_s=timeouts.timeout_s)
        # redis-py's client of a cluster raises an error if all its connections are in use. With this semaphore,
        # commands wait for a free connection instead.
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(CONNECTIONS))
        """By the name of the server, as `Servers.name_of` returns it."""
        self._reserved_slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(1))
        self._timeouts = timeouts
        self._observer = observer
        self._clock = clock
        self._retry_at_s: dict[str, float] = {}
        """By the name of the server."""
        self._outage = Outage("the store", clock=clock)
        self._failing: dict[str, str] = {}
        """The reason of the last failure of each server that has not worked since, by the name of the server."""
        self._recovery = Recovery(self._ask, goes_on=lambda: bool(self.trouble), pause_s=timeouts.retry_s)
        self._renewed_s = float("-inf")
        self._lack_of_memory = Outage("writing to the store", quiet_s=FULL_S, clock=clock)

    @property
    def trouble(self) -> str:
        """Return why the store fails at the moment, as in edge_store_errors_total; empty if it works."""
        if self._failing:
            return list(self._failing.values())[-1]
        return "full" if self._lack_of_memory.is_on else ""

    async def close(self) -> None:
        """Close all connections."""
        await self._recovery.close()
        await self._servers.close()

    @asynccontextmanager
    async def subscription(self) -> AsyncIterator[PubSub]:
        """Yield a pub/sub connection. Raises errors of redis-py."""
        async with self._servers.any() as server, server.pubsub() as channel:
            yield channel

    async def get(self, key: bytes) -> object:
        """Return the value of a key, or None. Raises StoreUnavailable, or DamagedRecord if it is not a string."""
        if self._servers.gets is None:
            async with self.client(key) as redis:
                return await redis.get(key)
        self._check_back_off(SERVER)
        try:
            value = await self._servers.gets.get(key)
        except (TimeoutError, *FAILURES) as error:
            await self._renew_if_refused(error)
            raise self._translate(error, SERVER) from error
        self._note_success(SERVER)
        return value

    @asynccontextmanager
    async def client(self, key: bytes | None, *, reserved: bool = False) -> AsyncIterator[Client]:
        """Yield a redis-py client for commands about this key, or about several, after waiting for a free connection.

        `reserved` takes the connection for commands that must not wait behind others. Errors in the block are raised as
        StoreUnavailable, or as DamagedRecord if the key is of another type.
        """
        name = SERVER if key is None else self._servers.name_of(key)
        async with self._translate_errors(name, (self._reserved_slots if reserved else self._slots)[name]):
            yield self._servers.client

    @asynccontextmanager
    async def servers(self) -> AsyncIterator[list[Redis]]:
        """Yield a redis-py client for each server that holds keys. Errors in the block are raised as in `client`."""
        async with self._translate_errors(SERVER, self._slots[SERVER]), self._servers.each() as servers:
            yield servers

    @asynccontextmanager
    async def _translate_errors(self, name: str, slots: asyncio.Semaphore) -> AsyncIterator[None]:
        self._check_back_off(name)
        async with slots:
            self._check_back_off(name)  # another command may have timed out meanwhile
            try:
                async with asyncio.timeout(self._timeouts.timeout_s):
                    yield
            except (TimeoutError, *FAILURES) as error:
                await self._renew_if_refused(error)
                raise self._translate(error, name) from error
            self._note_success(name)

    async def _renew_if_refused(self, error: Exception) -> None:
        """Connect anew if the server refuses writes.

        After a failover, the former master is a replica and keeps its connections, while its name leads to the new one.
        """
        now_s = self._clock()
        if reason_of(error) == READ_ONLY and now_s - self._renewed_s >= RENEW_S:
            self._renewed_s = now_s
            await self._servers.renew()

    def _check_back_off(self, name: str) -> None:
        if self._clock() < self._retry_at_s.get(name, float("-inf")):
            raise self.failure("no command is sent during the back-off after a timeout", reason="back_off", name=name)

    def _translate(self, error: Exception, name: str) -> StoreUnavailable | DamagedRecord:
        if isinstance(error, TimeoutError | RedisTimeoutError):
            self._retry_at_s[name] = self._clock() + self._timeouts.retry_s
            return self.failure(f"no answer within {self._timeouts.timeout_s} s", reason="timeout", name=name)
        if isinstance(error, ResponseError) and str(error).startswith(_WRONG_TYPE):
            # The store has not failed: the key holds another type than a string, and the next SET replaces it.
            return DamagedRecord("the key does not hold a string")
        if isinstance(error, OutOfMemoryError):
            return self._full()
        return self.failure(f"{type(error).__name__}: {error}", reason=reason_of(error), name=name)

    def _full(self) -> StoreFull:
        why = "it is full and evicts nothing; its maxmemory-policy should be volatile-lfu"
        self._observer.count_store_error("full")
        self._lack_of_memory.note_failure(why)
        self._recovery.start()
        return StoreFull(why)

    def failure(self, why: str, *, reason: str = "error", name: str = SERVER) -> StoreUnavailable:
        """Count and log a failure of the store. Return the StoreUnavailable error to raise."""
        self._observer.count_store_error(reason)
        self._failing.pop(name, None)  # so that the last failure is the last item
        self._failing[name] = reason
        self._outage.note_failure(why)
        self._recovery.start()
        return StoreUnavailable(why)

    async def _ask(self) -> None:
        """Ask every server. If all answer, none of them is out of reach."""
        with suppress(StoreUnavailable, RecordError):
            async with self.servers() as servers:
                for server in servers:
                    await server.ping()
            for name in list(self._failing):
                self._note_success(name)

    def _note_success(self, name: str) -> None:
        self._outage.note_success()
        self._lack_of_memory.note_success()
        if not self._outage.is_on:
            self._failing.clear()
        elif self._failing.get(name) in OF_THE_SERVER:
            del self._failing[name]
