"""A redis-py client of the primary that Sentinels know. Each new connection asks them which server that is."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from service.store.sentinel_address import SentinelAddress

_OF_THE_PRIMARY = {"username", "password", "db", "client_name", "host", "port"}


class Primary:
    """The client of the primary, and the clients of the Sentinels."""

    def __init__(self, address: SentinelAddress, *, timeout_s: float, connections: int) -> None:
        options = _options(address.primary_url)
        own = {"username": address.sentinel_username or None, "password": address.sentinel_password or None}
        shared = {name: value for name, value in options.items() if name not in _OF_THE_PRIMARY}
        timeouts = {"socket_connect_timeout": timeout_s}
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py's
            address.sentinels,
            sentinel_kwargs={**shared, **own, **timeouts, "socket_timeout": timeout_s},
            **options,
            **timeouts,
            max_connections=connections,
            # A command is retried once, as in `Servers`: after a failover the retry asks the Sentinels again.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        self.client: Redis = self._sentinel.master_for(address.service, connection_pool_class=SentinelConnectionPool)

    async def close(self) -> None:
        """Close all connections."""
        await self.client.aclose()
        for sentinel in self._sentinel.sentinels:
            await sentinel.aclose()


def _options(url: str) -> dict[str, Any]:
    """Return the options of redis-py that an address names, without its host."""
    options: dict[str, Any] = dict(parse_url(url))
    options.pop("host", None)
    options.pop("port", None)
    return {**options, "ssl": True} if options.pop("connection_class", None) is SSLConnection else options
