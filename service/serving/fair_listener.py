"""Share the connections of one listening socket evenly between the workers.

libuv accepts all connections in the backlog, so the worker that wakes first may get all connections of a load balancer,
which then keeps them open. Measured with 8 clients that connected together: in 12 of 50 runs, one of two workers had
all connections, and the other CPU was idle. A FairListener accepts one connection at a time, and a worker that has more
connections than another worker (its peer) lets the peer accept first.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Protocol

from service.serving.clients import Clients

YIELD_S = 0.005
"""Seconds for which a worker lets its peers accept first (assumed): longer than one turn of a busy event loop."""
QUIET_S = 0.2
"""Seconds without a new connection after which a draining listener is closed (assumed: the time of a handshake)."""
LONGEST_DRAIN_S = 2.0
"""The longest time in seconds to drain a listener (assumed): without `refuse_new`, clients may connect for ever."""
TICK_S = 0.25
"""Seconds between two updates of the number of connections that a worker publishes."""
_GONE = (BlockingIOError, InterruptedError, ConnectionAbortedError)
"""The errors of accept() after which there is no connection to accept: a peer was faster, or the client left."""

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Peers(Protocol):
    """The other workers that listen on the same socket."""

    def publish(self, count: int) -> None:
        """Publish the number of connections of this worker."""

    def find_peers(self) -> None:
        """Update the list of peers: add workers that have started, and drop workers that have ended."""

    def lowest_peer_count(self) -> int | None:
        """Return the smallest number of connections of a peer, or None if there are no peers."""

    def close(self) -> None:
        """Stop publishing, because this worker accepts no more connections."""


class NoPeers:
    """The empty group of peers, for a worker that listens alone."""

    def publish(self, count: int) -> None:
        """Do nothing, because there are no peers."""

    def find_peers(self) -> None:
        """Do nothing, because there are no peers."""

    def lowest_peer_count(self) -> int | None:
        """Return None, because there are no peers."""
        return None

    def close(self) -> None:
        """Do nothing, because there are no peers."""


class FairListener:
    """Accepts connections from a socket that workers share. Has the methods of asyncio.Server that uvicorn uses."""

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
        self._exchange_fails = False
        self._drains = False
        self._accepted_s = 0.0

    async def start_serving(self) -> None:
        """Start to accept connections."""
        self._socket.setblocking(False)
        self._tick()
        self._loop.add_reader(self._socket, self._accept_or_yield)

    async def drain(self) -> None:
        """Accept the connections in the backlog until none has come for QUIET_S, but for at most LONGEST_DRAIN_S."""
        self._drains, now_s = True, self._loop.time()
        self._accepted_s, ends_s = now_s, now_s + LONGEST_DRAIN_S
        while now_s < (quiet_s := min(self._accepted_s + QUIET_S, ends_s)):
            await asyncio.sleep(quiet_s - now_s)
            now_s = self._loop.time()
            if self._resuming is not None:  # connections may wait for room
                self._accepted_s = now_s
        while self._ticking is not None and self._accept():
            pass
        self.close()
        await self.wait_closed()

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
        """Wait for accepted connections whose transports are still being created."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    @property
    def connections(self) -> int:
        """The number of open connections, including accepted ones without a transport yet."""
        self._transports = [one for one in self._transports if not one.is_closing()]
        return len(self._transports) + self._unopened

    def exchange_counts(self) -> None:
        """Publish the number of connections of this worker, and find peers that have started or ended."""
        self._peers.publish(self.connections)
        self._peers.find_peers()

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(TICK_S, self._tick)  # before the update, so that an error does not end it
        try:
            self.exchange_counts()
        except OSError as error:  # such as EMFILE, too many open files
            self._note_exchange_error(error)
        else:
            self._exchange_fails = False

    def _note_exchange_error(self, error: OSError) -> None:
        """Log an error of the exchange with the peers once, and again only after an exchange has worked."""
        if not self._exchange_fails:
            logging.getLogger(__name__).warning("cannot find the other workers: %s", error)
        self._exchange_fails = True

    def _accept_or_yield(self) -> None:
        mine, lowest = self.connections, self._peers.lowest_peer_count()
        self._peers.publish(mine)
        if lowest is not None and mine > lowest and not self._drains:
            self._pause(YIELD_S)
        else:
            self._accept()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._socket)
        self._resuming = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._socket, self._accept_or_yield)
        self._accept()

    def _accept(self) -> bool:
        """Accept one connection, and return whether a connection was accepted."""
        if wait_s := self._clients.wait_for_room_s(opening=self._unopened):
            self._pause(wait_s)
            return False
        try:
            connection, _ = self._socket.accept()
        except _GONE:
            return False
        except OSError as error:  # such as EMFILE, too many open files
            self._pause(self._clients.note_accept_error(error))
            return False
        self._accepted_s = self._loop.time()
        self._unopened += 1
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        self._peers.publish(self.connections)
        return True

    async def _open(self, connection: socket.socket) -> None:
        try:
            # uvloop sets this option itself only for the connections that it accepts.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport, _ = await self._loop.connect_accepted_socket(self._protocol_factory, connection)
            self._transports.append(transport)
        except OSError:  # the client has already disconnected
            connection.close()
        finally:
            self._unopened -= 1
