"""The configuration of an edge's processes for their supervisor. Values only."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from uvicorn import Config

from service.serving.client_limits import ClientLimits
from service.serving.restarts import Restarts
from service.settings.edge_settings import Settings


@dataclass(frozen=True)
class Listening:
    """The configuration of a server, the sockets on which it listens, and the back-off of its restarts."""

    config: Config
    sockets: Sequence[socket.socket]
    restarts: Restarts = field(default_factory=Restarts)


@dataclass(frozen=True, slots=True)
class Supervision:
    """The rules by which processes run and end. A `hung_s` of 0 means no limit."""

    limits: ClientLimits
    hung_s: float
    drain_delay_s: float
    drain_s: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the rules from the settings."""
        return cls(
            limits=ClientLimits.of(settings),
            hung_s=settings.hung_s,
            drain_delay_s=settings.drain_delay_s,
            drain_s=settings.drain_s,
        )
