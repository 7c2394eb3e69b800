"""One connection of a client: uvicorn's protocol with limits of time and size. Knows nothing of pictures.

It leans on uvicorn's internals, so uvicorn is pinned to a minor release. Beyond uvicorn's own protocol:

- Requests are parsed one at a time. What a client sends ahead waits unparsed, and beyond HELD_BYTES unread.
- A head, a body and a target have a largest size, and a request has a time.
- What is refused is answered as a problem, with the errors of `service.errors`.
- A client that has ended its side of the connection still gets its answer.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum, auto
from typing import Any, Protocol

import httptools
from uvicorn import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.errors import (
    BodyTooLarge,
    EdgeError,
    HeadTooLarge,
    MalformedRequest,
    RequestTooSlow,
    TargetTooLong,
)
from service.serving.client_limits import BODY_CAP_BYTES, HELD_BYTES, TARGET_CAP_BYTES, ClientLimits
from service.serving.received import Received, is_one_head
from service.serving.request_head import check_form, check_size, refusal, with_path

LINGER_S = 2.0
"""Assumed: how long a client that was refused may take to read why. To close at once would reset the connection."""
HALF_CLOSED_S = 1.0
"""Assumed. A client that has ended its side may have left, or may wait for its answer: TCP does not tell which. For so
long its request goes on. Most answers take less; what takes longer is given up, as for every client that has left."""
SLOW_S = 1.0  # assumed: a client that means well sends its request at once


class Counts(Protocol):
    """Counts what limits have done."""

    def count_cut(self, reason: str) -> None:
        """Count a connection that a limit has ended."""

    def count_refused(self, status: int) -> None:
        """Count a request that was refused before a route saw it."""


class Stage(Enum):
    """How much of the present request has come."""

    HEAD = auto()
    BODY = auto()
    WHOLE = auto()


class HttpConnection(HttpToolsProtocol):
    """The protocol of one connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        limits: ClientLimits,
        counts: Counts,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._limits = limits
        self._counts = counts
        self._received = Received()
        self._stage = Stage.HEAD
        self._begun = False
        self._part_bytes = 0
        """Of the head, or of the body, so far."""
        self._waits_since_s = time.monotonic()
        """Since when the client is awaited: for a request, for the rest of one, or for the next one."""
        self._lingers = False
        self._half_closed = False
        self._ends_by_s = float("inf")
        self._unsent_bytes = 0
        self._stuck_since_s = 0.0

    @property
    def _unanswered(self) -> RequestResponseCycle | None:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's type leaves out that there may be none yet
        return None if cycle is None or cycle.response_complete else cycle

    @property
    def _is_answering(self) -> bool:
        return self._stage is Stage.WHOLE and self._unanswered is not None

    # What the transport calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to read."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self._received)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, as far as the next request that is to be answered."""
        if self._lingers:
            return
        if self._stage is Stage.WHOLE and not self._received and self._unanswered is None and is_one_head(data):
            self._parse(data)  # the usual case, without the ways through `Received`
            return
        self._received.append(data)
        self._read()
        if len(self._received) > HELD_BYTES:
            self.flow.pause_reading()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it; uvicorn's own never wants to stay
        """Return whether the connection stays open for an answer (RFC 9112 9.6 lets a client end its side first)."""
        self._half_closed = True
        self._ends_by_s = time.monotonic() + HALF_CLOSED_S
        return self._is_answering and not self._lingers

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Start the clock of a request. That of a connection's first one runs already."""
        if self._begun:
            self._waits_since_s = time.monotonic()
        self._begun, self._stage = True, Stage.HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Check what uvicorn does not, and start the answer."""
        check_size(self.url, self.headers, most_fields=self._limits.header_fields)
        check_form(self.headers, version=self.parser.get_http_version(), upgrade=self.parser.should_upgrade())
        if not self.url.startswith(b"/"):
            self.url = with_path(self.url)
        super().on_headers_complete()
        self._stage, self._part_bytes = Stage.BODY, 0
        self.headers = []  # for the fields of a trailer section, which nobody uses (RFC 9110 6.5.1)

    def on_message_complete(self) -> None:
        """Stop the clock."""
        self._stage, self._part_bytes = Stage.WHOLE, 0
        self._waits_since_s = time.monotonic()
        super().on_message_complete()

    # What uvicorn's cycle calls.

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for it. In place of uvicorn's own, with its timer for each request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self._stage is Stage.WHOLE:
            self._waits_since_s = time.monotonic()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._read()
        self.flow.resume_reading()
        if self._half_closed:
            self._ends_by_s = time.monotonic() + HALF_CLOSED_S
            if not self._is_answering:
                self.transport.close()

    # What the server calls; see `Clients`.

    def check(self, now_s: float) -> None:
        """Close the connection if it has exceeded one of its times."""
        if self._is_stuck(now_s):
            self._cut("send_timeout")
        elif self._lingers or self._half_closed:
            if now_s >= self._ends_by_s and not self._unsent_bytes:
                self.transport.abort()
        elif self._stage is not Stage.WHOLE:
            if self._has_waited(self._limits.request_timeout_s, now_s):
                self._time_out()
        elif not self._is_answering and self._has_waited(self._limits.idle_timeout_s, now_s):
            self.transport.close()

    def readiness_to_go(self, now_s: float) -> tuple[int, float] | None:
        """Slow requests go first, then idle connections, then requests that have just begun; no answer is cut."""
        if self._is_answering or self.transport.is_closing():
            return None
        if self._stage is Stage.WHOLE:
            return 1, self._waits_since_s
        return 0 if now_s - self._waits_since_s > SLOW_S else 2, self._waits_since_s

    def give_up(self) -> None:
        """Close the connection for the sake of others."""
        self._cut("too_many")

    def _has_waited(self, limit_s: float, now_s: float) -> bool:
        return 0 < limit_s <= now_s - self._waits_since_s

    def _is_stuck(self, now_s: float) -> bool:
        """Return whether nothing of what waits to be sent was sent within the time for it."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if not unsent_bytes or unsent_bytes < self._unsent_bytes or not self._unsent_bytes:
            self._stuck_since_s = now_s
        self._unsent_bytes = unsent_bytes
        return 0 < self._limits.send_timeout_s <= now_s - self._stuck_since_s

    def _cut(self, reason: str) -> None:
        self._counts.count_cut(reason)
        self.transport.abort()

    def _time_out(self) -> None:
        if self._begun:
            self._counts.count_cut("request_timeout")
            self._refuse(RequestTooSlow())
        else:
            self._cut("request_timeout")  # RFC 9110 15.5.9 wants a request that has begun

    def _read(self) -> None:
        while self._received and not (self._is_answering or self._lingers or self.transport.is_closing()):
            self._parse(self._received.take(at_most=self._most_bytes() - self._part_bytes + 1))

    def _most_bytes(self) -> int:
        return BODY_CAP_BYTES if self._stage is Stage.BODY else self._limits.header_bytes

    def _parse(self, piece: bytes | memoryview) -> None:
        self._part_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            # RFC 9110 7.8: a server may ignore Upgrade. What follows is the next request, as if it were not there.
            self._received.put_back(len(piece) - upgrade.args[0])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, EdgeError) else MalformedRequest())
        else:
            if self._part_bytes > self._most_bytes():
                self._refuse(self._excess())

    def _excess(self) -> EdgeError:
        if self._stage is Stage.BODY:
            return BodyTooLarge()
        is_in_target = self._stage is Stage.HEAD and self._begun and len(self.url) > TARGET_CAP_BYTES
        return TargetTooLong() if is_in_target else HeadTooLarge()

    def _refuse(self, error: EdgeError) -> None:
        self._counts.count_refused(error.status)
        self._received.clear()
        unanswered = self._unanswered
        if unanswered is not None:
            if unanswered.response_started or self._stage is not Stage.BODY:
                # The answer under way, of this request or of the one before, goes first and is the last one.
                unanswered.keep_alive, self._lingers = False, True
                return
            unanswered.disconnected = True
            unanswered.message_event.set()
        elif self._stage is Stage.BODY:  # its answer has been sent
            self._linger()
            return
        self.transport.write(refusal(error, head=self.parser.get_method() == b"HEAD"))
        self._linger()

    def _linger(self) -> None:
        """End this side, and read on until the client has ended its own: what it still sends must not reset both."""
        self._lingers = True
        self._ends_by_s = time.monotonic() + LINGER_S
        self.flow.resume_reading()
        self.transport.write_eof()


class _Flow(FlowControl):
    """Reads no further while much of what was read has to wait."""

    def __init__(self, transport: asyncio.Transport, received: Received) -> None:
        super().__init__(transport)
        self._received = received

    def resume_reading(self) -> None:
        if len(self._received) <= HELD_BYTES:
            super().resume_reading()
