"""The servers behind a store's address: one Redis or Valkey, the primary of Sentinels, or the nodes of a cluster."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

from service.errors import SettingsError
from service.store.gets import Address, Gets
from service.store.sentinel_address import SentinelAddress
from service.store.sentinels import Primary

CLUSTER = "+cluster"
"""The suffix of the URL scheme for a cluster, as in redis+cluster://any-node:6379."""
# The number of connections for commands. Assumed: a GET takes 0.1 ms of this process's CPU time, so more connections
# would be idle.
CONNECTIONS = 16
# The pool has one more connection for pub/sub, and one for renewals of leases.
_POOL = CONNECTIONS + 2

SERVER = ""
"""The name of a server that is no node of a cluster, or not yet known as one."""

Client = Redis | RedisCluster
FAILURES = (RedisError, RedisClusterException, OSError, AttributeError)
"""The exceptions that a redis-py command may raise. RedisClusterException is not a subclass of RedisError.

redis-py 8.1 raises AttributeError if another command has closed the connection meanwhile (seen in a cluster).
"""


class Servers:
    """The redis-py clients of the servers behind one store address."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        scheme, separator, rest = url.partition("://")
        self._url = scheme.removesuffix(CLUSTER) + separator + rest
        self._primary = self._of_sentinels(url)
        self.client: Client = self._of_cluster() if scheme.endswith(CLUSTER) else self._of_primary()
        address = None if scheme.endswith(CLUSTER) else Address.of(self._url)
        self.gets = None if address is None else Gets(address, timeout_s=timeout_s)
        """A faster client for GET, which every hit sends. None for clusters, Sentinels, TLS and addresses with options.
        """

    @classmethod
    def check(cls, url: str) -> None:
        """Raise SettingsError if redis-py cannot use an address. No connection is opened.

        redis-py defines which parameters an address may have (`?db=1`), so the check creates a client. The error does
        not quote the address, because it may contain a password.
        """
        try:
            SentinelAddress.of(url)
        except ValueError as error:
            raise SettingsError([f"EDGE_REDIS_URL: {error}"]) from error
        try:
            client = cls(url, timeout_s=1.0).client
            if isinstance(client, Redis):
                connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's
                if isinstance(connection, SSLConnection):
                    connection.ssl_context.get()  # reads the files of certificates and keys
        except (ValueError, TypeError, *FAILURES) as error:
            raise SettingsError(
                ["EDGE_REDIS_URL: the address has a parameter, or a value of one, that redis-py cannot use"]
            ) from error

    def name_of(self, key: bytes) -> str:
        """Return the name of the server that holds a key."""
        if isinstance(self.client, Redis):
            return SERVER
        try:
            node = self.client.get_node_from_key(key.decode("latin-1"))
        except RedisClusterException:  # the cluster has not been asked yet for its nodes, or no node has the key
            return SERVER
        return SERVER if node is None else node.name

    async def renew(self) -> None:
        """Close the idle connections, so that the next commands resolve the name of the server again.

        A cluster tells its client which node took over, so nothing is done there.
        """
        if self.gets is not None:
            await self.gets.close()
        if isinstance(self.client, Redis):
            with suppress(*FAILURES):  # such as a connection that another command has closed meanwhile
                await self.client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close all connections."""
        if self.gets is not None:
            await self.gets.close()
        await (self.client.aclose() if self._primary is None else self._primary.close())

    @asynccontextmanager
    async def each(self) -> AsyncIterator[list[Redis]]:
        """Yield a client for each server that holds keys: the single server, or each primary of a cluster."""
        if isinstance(self.client, Redis):
            yield [self.client]
            return
        await self.client.initialize()
        addresses = [(node.host, int(node.port)) for node in self.client.get_primaries()]
        async with AsyncExitStack() as closing:
            yield [await closing.enter_async_context(self._at(*address)) for address in addresses]

    @asynccontextmanager
    async def any(self) -> AsyncIterator[Redis]:
        """Yield a client for a random server, for pub/sub: a cluster forwards published messages to all its nodes."""
        async with self.each() as servers:
            yield random.choice(servers)  # noqa: S311  (not a secret)

    def _of_sentinels(self, url: str) -> Primary | None:
        address = SentinelAddress.of(url)
        # Twice the pool, because a pool that raises an error when it is full counts connections that are being closed.
        return None if address is None else Primary(address, timeout_s=self._timeout_s, connections=2 * _POOL)

    def _of_primary(self) -> Redis:
        return self._of_one(self._url) if self._primary is None else self._primary.client

    def _of_one(self, url: str) -> Redis:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_POOL,
            timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            # A command is retried once, because the pool may hold connections to a server that has been restarted.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        return Redis.from_pool(pool)

    def _of_cluster(self) -> RedisCluster:
        return RedisCluster.from_url(
            self._url,
            max_connections=_POOL,
            socket_connect_timeout=self._timeout_s,
            # Assumed: the first retry finds that a node has failed, and the second one reaches its replacement.
            retry=Retry(NoBackoff(), 2),
            require_full_coverage=False,  # if a node is gone, the pictures on the other nodes are still served
        )

    def _at(self, host: str, port: int) -> Redis:
        parts = urlsplit(self._url)
        credentials, at, _ = parts.netloc.rpartition("@")
        name = f"[{host}]" if ":" in host else host
        return self._of_one(parts._replace(netloc=f"{credentials}{at}{name}:{port}").geturl())
