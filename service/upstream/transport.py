"""The httpx transport to an origin: a pool of keep-alive connections, reused only if it is safe (see `connection`)."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cached_property

import h11
import httpx

from service.upstream.connection import Connection

IDLE_S = 4.0
"""How long an idle connection stays open. Assumed: servers close idle ones after 5 s or more, so reuse rarely fails."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Server:
    """The address that a connection leads to."""

    scheme: str
    host: str
    port: int


class Transport(httpx.AsyncBaseTransport):
    """A pool of at most `connections` connections, for GET requests only. Only connecting has a timeout here."""

    def __init__(self, *, connections: int, connect_timeout_s: float, on_retry: Callable[[], None]) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._on_retry = on_retry
        self._room = asyncio.Semaphore(connections)
        self._idle: defaultdict[Server, dict[Connection, asyncio.TimerHandle]] = defaultdict(dict)
        self._open: set[Connection] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response as soon as its head has arrived. Raises httpx.TransportError."""
        await self._room.acquire()
        try:
            server = server_of(request.url)
            connection, response = await self._send(server, request)
        except BaseException:
            self._room.release()
            raise
        return httpx.Response(
            response.status_code, headers=response.headers.raw_items(), stream=_Body(self, server, connection)
        )

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            connection.close()
            await connection.closed.wait()
        self._forget_closed()

    def give_back(self, server: Server, connection: Connection) -> None:
        """Return a connection to the pool after its response, if it can be reused safely."""
        self._room.release()
        if connection.finish():
            timer = asyncio.get_running_loop().call_later(IDLE_S, connection.close)
            self._idle[server][connection] = timer

    async def _send(self, server: Server, request: httpx.Request) -> tuple[Connection, h11.Response]:
        idle = self._take_idle(server)
        if idle is not None:
            try:
                return idle, await idle.ask(request)
            except (httpx.ReadError, httpx.RemoteProtocolError):
                # RFC 9112 9.3.1, RFC 9110 9.2.2: the server closed the idle connection. Retry once, on a new one.
                if idle.has_answered or request.method != "GET":
                    raise
            self._on_retry()
        connection = await self._connect(server)
        return connection, await connection.ask(request)

    def _take_idle(self, server: Server) -> Connection | None:
        idle = self._idle[server]
        while idle:
            connection, timer = idle.popitem()  # the most recently used connection is the likeliest to be open
            timer.cancel()
            if connection.is_reusable():
                return connection
            connection.close()
        return None

    async def _connect(self, server: Server) -> Connection:
        self._forget_closed()
        tls = self._tls if server.scheme == "https" else None
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, server.host, server.port, ssl=tls
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection within {self._connect_timeout_s:g} s") from error
        except OSError as error:
            raise httpx.ConnectError(f"cannot connect to {server.host} port {server.port}: {error}") from error
        self._open.add(connection)
        return connection

    def _forget_closed(self) -> None:
        self._open = {connection for connection in self._open if not connection.closed.is_set()}
        for idle in self._idle.values():
            for connection in [one for one in idle if one.closed.is_set()]:
                idle.pop(connection).cancel()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = httpx.create_ssl_context(trust_env=False)
        context.set_alpn_protocols(["http/1.1"])
        return context


def server_of(url: httpx.URL) -> Server:
    """Return the server of a URL. Raises httpx.UnsupportedProtocol."""
    if url.scheme not in _PORTS:
        raise httpx.UnsupportedProtocol(f"the scheme {url.scheme!r} is not supported")
    return Server(url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])


class _Body(httpx.AsyncByteStream):
    def __init__(self, transport: Transport, server: Server, connection: Connection) -> None:
        self._transport = transport
        self._server = server
        self._connection = connection
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._connection.body():
            yield piece

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._transport.give_back(self._server, self._connection)
