"""The servers behind a store's address: one Redis or Valkey, or the nodes of a cluster."""

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
"""The suffix of a scheme, as in redis+cluster://any-node:6379. Without it, a node would be used as a single server."""
# Assumed: a GET takes 0.1 ms of this process, so more connections would not be busy.
CONNECTIONS = 16
# One more connection is for pub/sub.
_POOL = CONNECTIONS + 1

Client = Redis | RedisCluster
FAILURES = (RedisError, RedisClusterException, OSError)
"""What a command may raise. RedisClusterException is not a RedisError."""


class Servers:
    """The clients of the servers behind one address."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        scheme, separator, rest = url.partition("://")
        self._url = scheme.removesuffix(CLUSTER) + separator + rest
        self.client: Client = self._of_cluster() if scheme.endswith(CLUSTER) else self._of_one(self._url)
        address = None if scheme.endswith(CLUSTER) else Address.of(self._url)
        self.gets = None if address is None else Gets(address, timeout_s=timeout_s)
        """The fast path for GET, which every hit sends; None for clusters, TLS and addresses with options."""

    @classmethod
    def check(cls, url: str) -> None:
        """Raise SettingsError if redis-py cannot use an address. No connection is opened.

        redis-py defines the parameters of the address (`?db=1`), so a client is made of it. No message quotes the
        address, because it may hold a password.
        """
        try:
            client = cls(url, timeout_s=1.0).client
            if isinstance(client, Redis):
                client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        except (ValueError, TypeError, *FAILURES) as error:
            fault = "EDGE_REDIS_URL: has a parameter that redis-py does not know, or a value that it cannot use"
            raise SettingsError([fault]) from error

    async def close(self) -> None:
        """Close all connections."""
        if self.gets is not None:
            await self.gets.close()
        await self.client.aclose()

    @asynccontextmanager
    async def each(self) -> AsyncIterator[list[Redis]]:
        """Yield a client of each server that holds keys: of each primary in a cluster."""
        if isinstance(self.client, Redis):
            yield [self.client]
            return
        await self.client.initialize()
        addresses = [(node.host, int(node.port)) for node in self.client.get_primaries()]
        async with AsyncExitStack() as closing:
            yield [await closing.enter_async_context(self._at(*address)) for address in addresses]

    @asynccontextmanager
    async def any(self) -> AsyncIterator[Redis]:
        """Yield a client of any server. A cluster forwards published messages to all its nodes."""
        async with self.each() as servers:
            yield random.choice(servers)  # noqa: S311  (not a secret)

    def _of_one(self, url: str) -> Redis:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_POOL,
            timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            # One retry, because the pool may hold connections to a server that has been restarted.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        return Redis.from_pool(pool)

    def _of_cluster(self) -> RedisCluster:
        return RedisCluster.from_url(
            self._url,
            max_connections=_POOL,
            socket_connect_timeout=self._timeout_s,
            # Assumed: the first retry finds that a node is gone, and the second asks its replacement.
            retry=Retry(NoBackoff(), 2),
            require_full_coverage=False,  # if a node is gone, the pictures on the other nodes are still served
        )

    def _at(self, host: str, port: int) -> Redis:
        parts = urlsplit(self._url)
        credentials, at, _ = parts.netloc.rpartition("@")
        name = f"[{host}]" if ":" in host else host
        return self._of_one(parts._replace(netloc=f"{credentials}{at}{name}:{port}").geturl())
