"""What a supervisor needs to know of an edge's processes. Values only."""

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
    """The configuration of a server, and the sockets on which it listens."""

    config: Config
    sockets: Sequence[socket.socket]
    restarts: Restarts = field(default_factory=Restarts)


@dataclass(frozen=True, slots=True)
class Supervision:
    """The rules by which processes run and end. A time of 0 means no limit, or no delay."""

    limits: ClientLimits
    hung_s: float
    drain_delay_s: float
    drain_s: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the rules that the settings name."""
        return cls(
            limits=ClientLimits.of(settings),
            hung_s=settings.hung_s,
            drain_delay_s=settings.drain_delay_s,
            drain_s=settings.drain_s,
        )
