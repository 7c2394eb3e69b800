"""All connections of one server: looks after their time limits, and makes room where they are too many.

A server that takes connections until its file descriptors run out can open none to its origin any more, and resets new
clients without a word. This one stops before. It then closes connections on which it waits for the client anyway, the
slowest first. New clients wait in the backlog until there is room.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Protocol

QUIET_S = 60.0
"""Between two lines of the log about the same shortage."""
ROOM_MADE_S = 0.001  # a connection that is aborted is closed when the event loop turns
FULL_S = 0.05  # assumed: as long as every connection is being answered, to look more often costs more than it gives
SHARE_CLOSED = 64
"""Assumed: one connection of so many is closed at a time, so that the search for them costs little."""


class Client(Protocol):
    """One connection, as its server sees it."""

    def check(self, now_s: float) -> None:
        """Close the connection if it has exceeded one of its times."""

    def readiness_to_go(self, now_s: float) -> tuple[int, float] | None:
        """Return a rank by which connections are closed to make room, the lowest first; None: not this one."""

    def give_up(self) -> None:
        """Close the connection for the sake of others."""


class Observer(Protocol):
    """Counts what happens to connections."""

    def set_open(self, count: int) -> None:
        """Set the number of open connections."""

    def count_not_accepted(self, reason: str) -> None:
        """Count a time at which no new connection could be taken."""


class Clients:
    """The open connections of one server, and how many there may be."""

    def __init__(
        self,
        connections: AbstractSet[Client],
        *,
        most: int,
        observer: Observer,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`connections` is the server's own set, which changes. `most` of 0 is no limit."""
        self._connections = connections
        self._most = most
        self._observer = observer
        self._now = now
        self._logged_s = float("-inf")

    def sweep(self) -> None:
        """Close the connections that have exceeded one of their times."""
        now_s = self._now()
        for one in tuple(self._connections):
            try:
                one.check(now_s)
            except Exception:  # one connection must not end the server
                logging.getLogger(__name__).exception("a connection could not be checked")
                one.give_up()
        self._observer.set_open(len(self._connections))

    def wait_for_room_s(self, *, opening: int) -> float:
        """Return 0 if one more connection may be taken; else make room, and return when to try again."""
        if not self._most or len(self._connections) + opening < self._most:
            return 0.0
        return self._fall_short(
            "too_many", f"{self._most} connections are open, which is the limit (EDGE_CONNECTIONS, `ulimit -n`)"
        )

    def fail_to_accept(self, error: OSError) -> float:
        """Count and log that the system gave no connection; make room, and return when to try again."""
        return self._fall_short("no_descriptors", f"no connection can be accepted: {error.strerror}; see `ulimit -n`")

    def _fall_short(self, reason: str, sentence: str) -> float:
        closed = self._make_room()
        self._observer.count_not_accepted(reason)
        if self._now() - self._logged_s >= QUIET_S:
            self._logged_s = self._now()
            logging.getLogger(__name__).warning("%s; %d that wait for their clients are closed", sentence, closed)
        return ROOM_MADE_S if closed else FULL_S

    def _make_room(self) -> int:
        now_s = self._now()
        ranked = ((one.readiness_to_go(now_s), number, one) for number, one in enumerate(self._connections))
        going = heapq.nsmallest(1 + len(self._connections) // SHARE_CLOSED, (one for one in ranked if one[0]))
        for _, _, one in going:
            one.give_up()
        return len(going)
