"""What one client, and all clients together, may take of a server: times, sizes and connections. Values only."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Self

from service.settings.edge_settings import Settings

TARGET_CAP_BYTES = 8192  # RFC 9110 4.1 recommends 8,000 at least; nginx and Apache take as many
BODY_CAP_BYTES = 65_536  # assumed: a purge takes some hundred bytes, and nothing else has a body
HELD_BYTES = 65_536
"""Assumed: what is read ahead of the request that is being answered. Beyond it the client waits, as TCP lets it."""
# Assumed: 64 connections to the origin and as many to the parent, those to the store, files and pipes.
RESERVED_FILES = 192


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """A time of 0 is no limit."""

    request_timeout_s: float
    idle_timeout_s: float
    send_timeout_s: float
    header_bytes: int
    header_fields: int
    connections: int
    """0: as many as the limit of open files leaves."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take them from the settings."""
        return cls(
            request_timeout_s=settings.request_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
            send_timeout_s=settings.send_timeout_s,
            header_bytes=settings.header_bytes,
            header_fields=settings.header_fields,
            connections=settings.connections,
        )

    @property
    def most_connections(self) -> int:
        """How many connections this process takes at a time."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if self.connections or files == resource.RLIM_INFINITY:
            return self.connections
        return max(files - RESERVED_FILES, files // 2)

    @property
    def shortest_s(self) -> float:
        """The shortest of the times, or infinity."""
        times_s = (self.request_timeout_s, self.idle_timeout_s, self.send_timeout_s)
        return min((time_s for time_s in times_s if time_s), default=float("inf"))
