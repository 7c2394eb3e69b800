"""The servers behind an address: one Redis or Valkey, or the machines of a cluster. Waits for nothing by itself."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

from service.errors import SettingsError
from service.store.gets import Address, Gets

CLUSTER = "+cluster"
"""At the end of a scheme: redis+cluster://any-of-its-machines:6379. One machine of a cluster looks like a Redis."""
# Assumed: a GET takes a tenth of a millisecond of this process, so more connections would only take longer to open.
CONNECTIONS = 16
# And one that listens.
_POOL = CONNECTIONS + 1

Client = Redis | RedisCluster
FAILURES = (RedisError, RedisClusterException, OSError)
"""What a question to them may raise; the second is no RedisError."""


class Servers:
    """All that one address stands for."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        scheme, separator, rest = url.partition("://")
        self._url = scheme.removesuffix(CLUSTER) + separator + rest
        self.client: Client = self._of_cluster() if scheme.endswith(CLUSTER) else self._of_one(self._url)
        address = None if scheme.endswith(CLUSTER) else Address.of(self._url)
        self.gets = None if address is None else Gets(address, timeout_s=timeout_s)
        """The short way of the one question that every hit asks, where there is one."""

    @classmethod
    def check(cls, url: str) -> None:
        """Raise SettingsError where the client cannot use an address. Nothing is connected.

        Its parameters (`?db=1`) are the client's own, so it is asked itself. No message quotes the address: it may
        hold a password.
        """
        try:
            client = cls(url, timeout_s=1.0).client
            if isinstance(client, Redis):
                client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        except (ValueError, TypeError, *FAILURES) as error:
            fault = "EDGE_REDIS_URL: has a parameter that the client does not know, or with a value that it cannot use"
            raise SettingsError([fault]) from error

    async def close(self) -> None:
        """Give the connections back."""
        if self.gets is not None:
            await self.gets.close()
        await self.client.aclose()

    @asynccontextmanager
    async def each(self) -> AsyncIterator[list[Redis]]:
        """Every server that holds a part of the keys, by itself."""
        if isinstance(self.client, Redis):
            yield [self.client]
            return
        await self.client.initialize()
        addresses = [(node.host, int(node.port)) for node in self.client.get_primaries()]
        async with AsyncExitStack() as closing:
            yield [await closing.enter_async_context(self._at(*address)) for address in addresses]

    @asynccontextmanager
    async def any(self) -> AsyncIterator[Redis]:
        """One of them: what is published reaches all."""
        async with self.each() as servers:
            yield random.choice(servers)  # noqa: S311  (no secret)

    def _of_one(self, url: str) -> Redis:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_POOL,
            timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            # One more try, on a new connection: the pool may hold connections to a server that has been restarted.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        return Redis.from_pool(pool)

    def _of_cluster(self) -> RedisCluster:
        return RedisCluster.from_url(
            self._url,
            max_connections=_POOL,
            socket_connect_timeout=self._timeout_s,
            # Assumed: one to find that a machine is gone, and one to ask that which has taken its place.
            retry=Retry(NoBackoff(), 2),
            require_full_coverage=False,  # the pictures of the other machines are as good as before
        )

    def _at(self, host: str, port: int) -> Redis:
        parts = urlsplit(self._url)
        credentials, at, _ = parts.netloc.rpartition("@")
        name = f"[{host}]" if ":" in host else host
        return self._of_one(parts._replace(netloc=f"{credentials}{at}{name}:{port}").geturl())
