"""The HTTP server of one process: uvicorn's server with this project's own connections and listener."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from service.metrics.counts import ClientCounts
from service.metrics.telemetry import MULTIPROCESS_VARIABLE
from service.serving.client_limits import ClientLimits
from service.serving.clients import Clients
from service.serving.connection_counts import ConnectionCounts
from service.serving.fair_listener import FairListener, NoPeers, Peers
from service.serving.http_connection import HttpConnection
from service.serving.listening import announce

CLIENT_COUNTS = "client_counts"
"""The key in the lifespan state under which an application gives its ClientCounts to the server."""
LONGEST_SWEEP_S = 1.0
"""The longest time in seconds between two checks of the connections' timeouts."""
SWEEPS_A_TIMEOUT = 4  # checks within the shortest timeout, so that a connection exceeds it by at most a quarter


class HttpServer(uvicorn.Server):
    """uvicorn's server, on sockets that are already bound, with limits on connections and their timeouts."""

    def __init__(self, config: uvicorn.Config, limits: ClientLimits, *, announces: bool = False) -> None:
        """With `announces`, log the address once the server listens. With several workers, their parent logs it."""
        super().__init__(config)
        self._limits = limits
        self._announces = announces
        self._sweeping: list[asyncio.Task[None]] = []

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
            if self._announces:
                announce(listening)
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down gracefully. Clients' timeouts still apply, so that a stalled client does not delay the end."""
        try:
            await super().shutdown(sockets)
        finally:
            for sweeping in self._sweeping:
                sweeping.cancel()

    async def _listen(self, listening: socket.socket) -> FairListener:
        counts: ClientCounts = self.lifespan.state[CLIENT_COUNTS]
        clients = Clients(
            self.server_state.connections,  # type: ignore[arg-type]  # all of them are created by _connection
            most=self._limits.most_connections,
            observer=counts,
        )
        self._sweeping.append(asyncio.create_task(self._sweep(clients)))
        peers: Peers = NoPeers()
        if self.config.workers > 1:
            peers = ConnectionCounts(Path(os.environ[MULTIPROCESS_VARIABLE]))
        listening.listen(self.config.backlog)
        listener = FairListener(lambda: self._create_connection(counts), listening, peers, clients)
        await listener.start_serving()
        return listener

    def _create_connection(self, counts: ClientCounts) -> HttpConnection:
        return HttpConnection(self.config, self.server_state, self.lifespan.state, limits=self._limits, counts=counts)

    async def _sweep(self, clients: Clients) -> None:
        while True:
            clients.sweep()
            await asyncio.sleep(min(self._limits.shortest_s / SWEEPS_A_TIMEOUT, LONGEST_SWEEP_S))


def _without_lost_clients(app: ASGIApp) -> ASGIApp:
    """Wrap an application, so that uvicorn logs no traceback if a client disconnects while it sends its request."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            await app(scope, receive, send)

    return answer
