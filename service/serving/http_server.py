"""The HTTP server of one process: uvicorn's server with this project's own connections and listener."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from service.metrics.client_counts import ClientCounts
from service.metrics.telemetry import MULTIPROCESS_VARIABLE
from service.serving.client_limits import ClientLimits
from service.serving.clients import Clients
from service.serving.connection_counts import ConnectionCounts
from service.serving.drain import DRAIN
from service.serving.fair_listener import FairListener, NoPeers, Peers
from service.serving.heartbeat import BEAT_S
from service.serving.http_connection import HttpConnection
from service.serving.listening import announce, refuse_new

CLIENT_COUNTS = "client_counts"
"""The key in the lifespan state under which an application gives its ClientCounts to the server."""
LONGEST_SWEEP_S = 1.0
"""The longest time in seconds between two checks of the connections' timeouts."""
LEAVING_SWEEP_S = 0.1
"""Seconds between two checks while the server shuts down, which takes about a second."""
SWEEPS_A_TIMEOUT = 4  # checks within the shortest timeout, so that a connection exceeds it by at most a quarter


class HttpServer(uvicorn.Server):
    """uvicorn's server, on sockets that are already bound, with limits on connections and their timeouts."""

    def __init__(
        self,
        config: uvicorn.Config,
        limits: ClientLimits,
        *,
        alone: bool = False,
        on_turn: Callable[[], object] = lambda: None,
    ) -> None:
        """`alone`: no process shares the sockets, so this one logs the address and refuses clients at the end.

        `on_turn` is called twice a second in the event loop, while the server runs.
        """
        super().__init__(config)
        self._limits = limits
        self._alone = alone
        self._on_turn = on_turn
        self._leaving = False
        self._listeners: list[FairListener] = []
        self._clients: list[Clients] = []
        self._repeating: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen. Replaces uvicorn's method, which would create asyncio listeners."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self.config.loaded_app = _without_lost_clients(self.config.loaded_app)
        self.servers = []
        for listening in sockets or []:
            listener = await self._listen(listening)
            self.servers.append(listener)  # type: ignore[arg-type]  # it has all methods of a server that uvicorn calls
            if self._alone:
                announce(listening)
        if (drain := self.lifespan.state.get(DRAIN)) is not None:
            drain.when_leaving(self.leave)
        self._repeating.append(asyncio.create_task(_repeat(self._on_turn, every_s=BEAT_S)))
        self.started = True

    def leave(self) -> None:
        """Close each connection after its next response, so that clients turn to another edge (RFC 9112 9.6)."""
        self._leaving = True
        for one in self._connections:
            one.leave()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer every client that has connected. Timeouts still apply, so a stalled client does not delay the end."""
        self.leave()
        self._repeating += [asyncio.create_task(_repeat(one.sweep, every_s=LEAVING_SWEEP_S)) for one in self._clients]
        try:
            await self._empty_backlogs(sockets or [])
            await super().shutdown(sockets)
        finally:
            for repeating in self._repeating:
                repeating.cancel()

    async def _empty_backlogs(self, sockets: Sequence[socket.socket]) -> None:
        if self._alone:
            for listening in sockets:
                refuse_new(listening)
        await asyncio.gather(*(listener.drain() for listener in self._listeners))

    @property
    def _connections(self) -> set[HttpConnection]:
        return self.server_state.connections  # type: ignore[return-value]  # all of them are created here

    async def _listen(self, listening: socket.socket) -> FairListener:
        counts: ClientCounts = self.lifespan.state[CLIENT_COUNTS]
        clients = Clients(
            self._connections,
            most=self._limits.most_connections,
            observer=counts,
        )
        self._clients.append(clients)
        every_s = min(self._limits.shortest_s / SWEEPS_A_TIMEOUT, LONGEST_SWEEP_S)
        self._repeating.append(asyncio.create_task(_repeat(clients.sweep, every_s=every_s)))
        listening.listen(self.config.backlog)
        listener = FairListener(lambda: self._create_connection(counts), listening, self._find_peers(), clients)
        await listener.start_serving()
        self._listeners.append(listener)
        return listener

    def _find_peers(self) -> Peers:
        folder = os.environ.get(MULTIPROCESS_VARIABLE)
        if self.config.workers == 1 or not folder:
            return NoPeers()
        try:
            return ConnectionCounts(Path(folder))
        except OSError as error:  # such as a full disk. The kernel then chooses which worker accepts a connection.
            logging.getLogger(__name__).warning("this worker cannot tell the others how busy it is: %s", error)
            return NoPeers()

    def _create_connection(self, counts: ClientCounts) -> HttpConnection:
        one = HttpConnection(self.config, self.server_state, self.lifespan.state, limits=self._limits, counts=counts)
        if self._leaving:
            one.leave()
        return one


async def _repeat(call: Callable[[], object], *, every_s: float) -> None:
    while True:
        call()
        await asyncio.sleep(every_s)


def _without_lost_clients(app: ASGIApp) -> ASGIApp:
    """Wrap an application, so that uvicorn logs no traceback if a client disconnects while it sends its request."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            await app(scope, receive, send)

    return answer
