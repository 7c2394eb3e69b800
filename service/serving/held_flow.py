"""Pause the reading from a client while it has sent more than is parsed."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl

from service.serving.client_limits import HELD_BYTES
from service.serving.received import Received


class HeldFlow(FlowControl):
    """uvicorn's flow control, which also pauses reading while more than HELD_BYTES wait to be parsed."""

    def __init__(self, transport: asyncio.Transport, received: Received) -> None:
        super().__init__(transport)
        self._received = received

    def resume_reading(self) -> None:
        """Read on, unless more than HELD_BYTES wait to be parsed."""
        if len(self._received) <= HELD_BYTES:
            super().resume_reading()
