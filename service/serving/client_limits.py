"""The limits on clients: timeouts, sizes of requests, and numbers of connections. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from service.serving.open_files import RESERVED_FETCHES, room_for_connections, room_for_slow_fetches
from service.settings.edge_settings import Settings
from service.upstream.origins import fetches_of

TARGET_CAP_BYTES = 8192  # RFC 9110 4.1 recommends at least 8,000; nginx and Apache also accept about 8 KiB by default
BODY_CAP_BYTES = 65_536  # the largest body of a request (assumed): only purges have a body, of some hundred bytes
HELD_BYTES = 65_536
"""The maximum number of bytes of pipelined requests that are read ahead (assumed). Above it, TCP flow control stops the
client."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The limits on the clients of one server process. A timeout of 0 means no limit."""

    request_timeout_s: float
    idle_timeout_s: float
    send_timeout_s: float
    header_bytes: int
    header_fields: int
    connections: int
    """The maximum number of connections of this process at a time; 0 means as many as the limit of open files
    allows."""
    upstream_files: int = 0
    """Maximum number of connections to the origin and the parent beyond those in RESERVED_FILES (open_files.py)."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the client limits from the settings."""
        return cls(
            request_timeout_s=settings.request_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
            send_timeout_s=settings.send_timeout_s,
            header_bytes=settings.header_bytes,
            header_fields=settings.header_fields,
            connections=settings.connections,
            upstream_files=_upstream_files(settings),
        )

    @property
    def most_connections(self) -> int:
        """The number of connections that this process accepts at a time; 0 means no limit."""
        limits = (self.connections, room_for_connections(upstream_files=self.upstream_files))
        return min((limit for limit in limits if limit), default=0)

    @property
    def shortest_s(self) -> float:
        """The shortest of the timeouts in seconds, or infinity if there is no timeout."""
        times_s = (self.request_timeout_s, self.idle_timeout_s, self.send_timeout_s)
        return min((time_s for time_s in times_s if time_s), default=float("inf"))


def _upstream_files(settings: Settings) -> int:
    fetches = fetches_of(settings)
    slow = room_for_slow_fetches(settings.origin_slow_fetches, origins=len(fetches))
    to_origins = max(sum(fetches) - RESERVED_FETCHES, 0) + slow * len(fetches)
    to_parent = max(settings.origin_fetches - RESERVED_FETCHES, 0) + slow
    return to_origins + (to_parent if settings.parent else 0)
