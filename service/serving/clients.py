"""Enforce the timeouts of all connections of one server, and the limit on their number.

A server that accepts connections until its file descriptors run out cannot connect to its origin, and resets new
clients. This server stops accepting earlier. It then closes connections on which it waits for the client, the slowest
first. New clients wait in the backlog until there is room.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Protocol

LOG_EVERY_S = 60.0
"""The shortest time in seconds between two log lines about a lack of connections or file descriptors."""
ROOM_MADE_S = 0.001  # wait before the next accept: an aborted connection is closed in the next turn of the event loop
FULL_S = 0.05  # wait if no connection could be closed (assumed): more frequent checks only cost CPU time
SHARE_CLOSED = 64
"""When connections must be closed, the slowest 1/SHARE_CLOSED of them are closed (assumed): a search takes long."""


class Client(Protocol):
    """One connection of a client, which can be closed after a timeout or to make room."""

    def check_timeouts(self, now_s: float) -> None:
        """Close the connection if it has exceeded one of its timeouts. `now_s` is by the monotonic clock."""

    def eviction_rank(self, now_s: float) -> tuple[int, float] | None:
        """Return a rank, or None if the connection must stay open. The lowest ranks are closed first to make room."""

    def evict(self) -> None:
        """Close the connection to make room for new clients."""


class Observer(Protocol):
    """Receives the metrics about connections."""

    def set_open(self, count: int) -> None:
        """Set the number of open connections."""

    def count_not_accepted(self, reason: str) -> None:
        """Count one failure to accept a new connection, with its reason."""


class Clients:
    """Watches the open connections of one server."""

    def __init__(
        self,
        connections: AbstractSet[Client],
        *,
        most: int,
        observer: Observer,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch the live set `connections`, which the server changes, with the limit `most`; 0 means no limit."""
        self._connections = connections
        self._most = most
        self._observer = observer
        self._now = now
        self._logged_s = float("-inf")

    def sweep(self) -> None:
        """Close the connections that have exceeded a timeout, and update the metric of open connections."""
        now_s = self._now()
        for one in tuple(self._connections):
            try:
                one.check_timeouts(now_s)
            except Exception:  # an error of one connection must not end the server
                logging.getLogger(__name__).exception("cannot check the timeouts of a connection; it is closed")
                one.evict()
        self._observer.set_open(len(self._connections))

    def wait_for_room_s(self, *, opening: int) -> float:
        """Return 0 if one more connection may be accepted. Otherwise close some, and return the seconds to wait.

        `opening` is the number of accepted connections that are not in the set of connections yet.
        """
        if not self._most or len(self._connections) + opening < self._most:
            return 0.0
        return self._report_shortage(
            "too_many", f"{self._most} connections are open, which is the limit (EDGE_CONNECTIONS, `ulimit -n`)"
        )

    def note_accept_error(self, error: OSError) -> float:
        """Count and log an error of accept(), close some connections, and return the seconds to wait before a retry."""
        return self._report_shortage(
            "no_descriptors", f"no connection can be accepted: {error.strerror}; see `ulimit -n`"
        )

    def _report_shortage(self, reason: str, sentence: str) -> float:
        closed = self._make_room()
        self._observer.count_not_accepted(reason)
        if self._now() - self._logged_s >= LOG_EVERY_S:
            self._logged_s = self._now()
            logging.getLogger(__name__).warning(
                "%s; closed %d connections that waited for their clients", sentence, closed
            )
        return ROOM_MADE_S if closed else FULL_S

    def _make_room(self) -> int:
        now_s = self._now()
        ranked = ((one.eviction_rank(now_s), number, one) for number, one in enumerate(self._connections))
        going = heapq.nsmallest(1 + len(self._connections) // SHARE_CLOSED, (one for one in ranked if one[0]))
        for _, _, one in going:
            one.evict()
        return len(going)
