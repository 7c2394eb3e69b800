"""A redis-py client of the primary that Sentinels know. Each new connection asks them which server that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.store.failure_reasons import UNREACHABLE, reason_of
from service.store.sentinel_address import SentinelAddress

_OF_THE_PRIMARY = {"username", "password", "db", "client_name", "host", "port"}


class Primary:
    """The client of the primary, and the clients of the Sentinels."""

    def __init__(self, address: SentinelAddress, *, timeout_s: float, connections: int) -> None:
        options = _options(address.primary_url)
        own = {"username": address.sentinel_username or None, "password": address.sentinel_password or None}
        shared = {name: value for name, value in options.items() if name not in _OF_THE_PRIMARY}
        # They are asked one after the other, so that silent ones leave time for another one, and for the primary.
        each_s = timeout_s / (len(address.sentinels) + 1)
        timeouts = {"socket_connect_timeout": each_s, "socket_timeout": each_s}
        self._sentinel = _Sentinels(  # type: ignore[no-untyped-call]  # redis-py's
            address.sentinels,
            # redis-py would try each Sentinel four times, with pauses of seconds, before it asks the next one.
            sentinel_kwargs={**shared, **own, **timeouts, "retry": Retry(NoBackoff(), 0)},
            **options,
            socket_connect_timeout=timeout_s,
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


class _Sentinels(Sentinel):
    """redis-py's client of Sentinels, with an error that tells why each of them could not be asked."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the address of the primary. Raises MasterNotFoundError, with the error of a Sentinel as its cause."""
        causes: dict[str, Exception] = {}
        for number, sentinel in enumerate(self.sentinels):
            try:
                masters: Any = await sentinel.sentinel_masters()
            except (RedisConnectionError, RedisTimeoutError) as error:
                at = sentinel.connection_pool.connection_kwargs
                causes[f"{at['host']}:{at['port']}"] = error
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                self.sentinels[0], self.sentinels[number] = sentinel, self.sentinels[0]  # asked first the next time
                return state["ip"], state["port"]
        raise _not_found(service_name, causes)


def _not_found(service_name: str, causes: Mapping[str, Exception]) -> MasterNotFoundError:
    told = "; ".join(f"{address}: {type(error).__name__}: {error}" for address, error in causes.items())
    error = MasterNotFoundError(f"no Sentinel knows a primary of {service_name!r} that is up. {told}")
    # One that refuses this edge says more than one that is down.
    error.__cause__ = max(causes.values(), key=lambda cause: reason_of(cause) != UNREACHABLE, default=None)
    return error


def _options(url: str) -> dict[str, Any]:
    """Return the options of redis-py that an address names, without its host."""
    options: dict[str, Any] = dict(parse_url(url))
    options.pop("host", None)
    options.pop("port", None)
    return {**options, "ssl": True} if options.pop("connection_class", None) is SSLConnection else options
