"""Send GET over one pipelined connection: each command is sent at once, and the replies arrive in the same order.

Every hit sends one GET. redis-py would take a connection from its pool for each GET, in about thirty function calls.
That would be a fifth of the CPU time of a hit from the in-memory cache (measured).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, cast
from urllib.parse import urlsplit

import hiredis
from redis.asyncio.connection import parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

_SCHEMES = {"redis", "unix"}
_PORT = 6379
_INCOMPLETE = object()


@dataclass(frozen=True, slots=True)
class Address:
    """The address of one server, and the first commands of each connection (AUTH, SELECT)."""

    path: str
    """The path of a unix socket; empty for TCP."""
    host: str
    port: int
    greeting: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, url: str) -> Self | None:
        """Parse the URL of a store. Return None if only redis-py can use it: with TLS, or with options in the URL."""
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or parts.query:
            return None
        said = parse_url(url)
        name, password, database = said.get("username"), said.get("password"), said.get("db")
        greeting = []
        if password:
            greeting.append(("AUTH", name, password) if name else ("AUTH", password))
        if database:
            greeting.append(("SELECT", str(database)))
        return cls(said.get("path") or "", said.get("host") or "localhost", said.get("port") or _PORT, tuple(greeting))


class Gets:
    """Sends all GET commands of one process to one server. Raises errors of redis-py, OSError or TimeoutError."""

    def __init__(self, address: Address, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._line: _Line | None = None
        self._opening = asyncio.Lock()

    async def get(self, key: bytes) -> object:
        """Return the string under a key, or None if there is none."""
        if self._line is not None:
            # If the connection is lost, GET is retried once on a new one, because the server may have been restarted.
            with suppress(RedisConnectionError):
                return await self._line.ask(b"GET", key)
        async with asyncio.timeout(self._timeout_s):
            return await (await self._ensure_open()).ask(b"GET", key)

    async def close(self) -> None:
        """Close the connection."""
        if self._line is not None:
            await self._line.close()

    async def _ensure_open(self) -> _Line:
        async with self._opening:
            if self._line is None or self._line.is_lost:
                self._line = await self._open()
            return self._line

    async def _open(self) -> _Line:
        loop, address = asyncio.get_running_loop(), self._address
        line = _Line(self._timeout_s)
        if address.path:
            await loop.create_unix_connection(lambda: line, address.path)
        else:
            await loop.create_connection(lambda: line, address.host, address.port)
        try:
            for words in address.greeting:
                await line.ask(*(word.encode() for word in words))
        except BaseException:
            await line.close()
            raise
        return line


class _Line(asyncio.Protocol):
    """One connection, and the commands on it that wait for replies. It is closed if a reply exceeds the timeout."""

    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._answers = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._waiting: deque[tuple[asyncio.Future[object], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None

    @property
    def is_lost(self) -> bool:
        """Return whether the connection is closed, closing or not yet made."""
        return self._transport is None or self._transport.is_closing() or self._lost.done()

    async def ask(self, *words: bytes) -> object:
        """Send a command and return its reply. If the caller is cancelled, the reply is read and dropped."""
        if self._transport is None or self.is_lost:
            raise RedisConnectionError("the connection to the store is closed")
        answer: asyncio.Future[object] = self._loop.create_future()
        self._waiting.append((answer, self._loop.time() + self._timeout_s))
        self._transport.write(_encode_command(words))
        if self._timer is None:
            self._set_timer(self._timeout_s)
        return await answer

    async def close(self) -> None:
        """Close the connection. Commands that still wait for replies raise ConnectionError."""
        if self._transport is not None:
            self._transport.abort()
            await self._lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio.Transport, so isinstance cannot be used here.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._answers.feed(data)
        while (answer := self._answers.gets()) is not _INCOMPLETE:
            waiting, _ = self._waiting.popleft()
            if waiting.done():
                continue
            if isinstance(answer, hiredis.ReplyError):
                waiting.set_exception(ResponseError(str(answer)))
            else:
                waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(RedisConnectionError(f"the connection was lost: {exc}"))
        if self._timer is not None:
            self._timer.cancel()
        if not self._lost.done():
            self._lost.set_result(None)

    def _set_timer(self, seconds: float) -> None:
        # All commands share one timer: a timer for each command would cost more than the command itself.
        self._timer = self._loop.call_later(seconds, self._check_timeout)

    def _check_timeout(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        left_s = self._waiting[0][1] - self._loop.time()
        if left_s > 0:
            self._set_timer(left_s)
            return
        self._fail(RedisTimeoutError(f"no answer within {self._timeout_s} s"))
        assert self._transport is not None, "commands were written to it"
        self._transport.abort()

    def _fail(self, error: Exception) -> None:
        while self._waiting:
            waiting, _ = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(error)


def _encode_command(words: Sequence[bytes]) -> bytes:
    """Return a command in the Redis protocol (RESP2)."""
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)])
