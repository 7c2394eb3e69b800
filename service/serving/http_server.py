"""A server of one process: uvicorn's, with connections and a listener of our own. Decides nothing about requests."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import uvicorn
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
"""Under this name an application gives its counts to the server, in the state of its lifespan."""
LONGEST_SWEEP_S = 1.0
SWEEPS_A_TIMEOUT = 4  # so a connection exceeds its time by a quarter at most


class HttpServer(uvicorn.Server):
    """uvicorn's server on sockets that were bound before."""

    def __init__(self, config: uvicorn.Config, limits: ClientLimits, *, announces: bool = False) -> None:
        """With `announces` it logs where it listens as soon as it does; several workers leave that to their parent."""
        super().__init__(config)
        self._limits = limits
        self._announces = announces
        self._sweeping: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen. In place of uvicorn's own, which makes its own listeners."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self.servers = []
        for listening in sockets or []:
            listener = await self._listen(listening)
            self.servers.append(listener)  # type: ignore[arg-type]  # a server, as far as uvicorn uses one
            if self._announces:
                announce(listening)
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in order. Times count until the last connection is closed: a client that has left must not delay it."""
        try:
            await super().shutdown(sockets)
        finally:
            for sweeping in self._sweeping:
                sweeping.cancel()

    async def _listen(self, listening: socket.socket) -> FairListener:
        counts: ClientCounts = self.lifespan.state[CLIENT_COUNTS]
        clients = Clients(
            self.server_state.connections,  # type: ignore[arg-type]  # all of them are made below
            most=self._limits.most_connections,
            observer=counts,
        )
        self._sweeping.append(asyncio.create_task(self._sweep(clients)))
        peers: Peers = NoPeers()
        if self.config.workers > 1:
            peers = ConnectionCounts(Path(os.environ[MULTIPROCESS_VARIABLE]))
        listening.listen(self.config.backlog)
        listener = FairListener(lambda: self._connection(counts), listening, peers, clients)
        await listener.start_serving()
        return listener

    def _connection(self, counts: ClientCounts) -> HttpConnection:
        return HttpConnection(self.config, self.server_state, self.lifespan.state, limits=self._limits, counts=counts)

    async def _sweep(self, clients: Clients) -> None:
        while True:
            clients.sweep()
            await asyncio.sleep(min(self._limits.shortest_s / SWEEPS_A_TIMEOUT, LONGEST_SWEEP_S))
