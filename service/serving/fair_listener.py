"""A listener with which workers share the connections of one listening socket evenly.

libuv takes all connections that wait, so the worker that wakes first may get every client of a load balancer, which
keeps its connections. Measured with 8 clients that connect together: in 12 of 50 tries one of two workers had all of
them, and the other processor idled. Here a worker takes one at a time, and one that has more than another lets the
other go first.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from service.serving.clients import Clients

PATIENCE_S = 0.005
"""Assumed: longer than the event loop of a busy worker keeps a connection waiting, too short for a client to notice."""
TICK_S = 0.25
_GONE = (BlockingIOError, InterruptedError, ConnectionAbortedError)
"""Another worker has taken the connection, or its client has left."""

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Peers(Protocol):
    """The workers that listen on the same socket."""

    def tell(self, count: int) -> None:
        """Say how many connections this one has."""

    def look_for_peers(self) -> None:
        """Find new ones."""

    def least_of_peers(self) -> int | None:
        """Return the smallest number of connections among the others, or None."""

    def close(self) -> None:
        """Take no more connections."""


class NoPeers:
    """For a socket on which no other worker listens."""

    def tell(self, count: int) -> None:
        """Tell nobody."""

    def look_for_peers(self) -> None:
        """Find none."""

    def least_of_peers(self) -> int | None:
        """Return None."""
        return None

    def close(self) -> None:
        """Do nothing."""


class FairListener:
    """Takes connections of a listening socket that peers share. A server, as far as uvicorn uses one."""

    def __init__(self, protocol_factory: ProtocolFactory, sock: socket.socket, peers: Peers, clients: Clients) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol_factory = protocol_factory
        self._socket = sock
        self._peers = peers
        self._clients = clients
        self._transports: list[asyncio.BaseTransport] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._unopened = 0
        self._ticking: asyncio.TimerHandle | None = None
        self._resuming: asyncio.TimerHandle | None = None

    async def start_serving(self) -> None:
        """Take connections from now on."""
        self._socket.setblocking(False)
        self._tick()
        self._loop.add_reader(self._socket, self._take_or_leave)

    def close(self) -> None:
        """Accept no more connections; the open ones stay open."""
        if self._ticking is None:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for timer in (self._ticking, self._resuming):
            if timer is not None:
                timer.cancel()
        self._ticking = self._resuming = None
        self._peers.close()

    async def wait_closed(self) -> None:
        """Wait for the connections that were being opened."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    @property
    def connections(self) -> int:
        """Open now, and being opened."""
        self._transports = [one for one in self._transports if not one.is_closing()]
        return len(self._transports) + self._unopened

    def look(self) -> None:
        """Tell the peers how many connections there are, and find new peers."""
        self._peers.look_for_peers()
        self._peers.tell(self.connections)

    def _tick(self) -> None:
        self.look()
        self._ticking = self._loop.call_later(TICK_S, self._tick)

    def _take_or_leave(self) -> None:
        mine, least = self.connections, self._peers.least_of_peers()
        self._peers.tell(mine)
        if least is not None and mine > least:
            self._pause(PATIENCE_S)
        else:
            self._take()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._socket)
        self._resuming = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._socket, self._take_or_leave)
        self._take()

    def _take(self) -> None:
        if wait_s := self._clients.wait_for_room_s(opening=self._unopened):
            self._pause(wait_s)
            return
        try:
            connection, _ = self._socket.accept()
        except _GONE:
            return
        except OSError as error:  # such as EMFILE
            self._pause(self._clients.fail_to_accept(error))
            return
        self._unopened += 1
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        self._peers.tell(self.connections)

    async def _open(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as uvloop does for its own
            transport, _ = await self._loop.connect_accepted_socket(self._protocol_factory, connection)
            self._transports.append(transport)
        except OSError:  # the client has left
            connection.close()
        finally:
            self._unopened -= 1
