"""One client connection: uvicorn's HTTP protocol with timeouts and size limits. Knows nothing of pictures.

It depends on uvicorn's internals, so uvicorn is pinned to a minor release. Differences from uvicorn's own protocol:

- Requests are parsed one at a time, so that an error response always comes after the responses to earlier requests.
  Pipelined requests wait unparsed, and at most HELD_BYTES of them are read (`held_flow`).
- Heads, bodies and targets are limited in size, and a request must arrive within a timeout.
- A refused request is answered with a problem document (RFC 9457), made from an error of `service.errors`.
- A client that has shut down its sending side of the connection still gets its response.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.errors import EdgeError, MalformedRequest, RequestTooSlow
from service.metrics.client_counts import ClientCounts
from service.serving.arriving_request import ArrivingRequest, Stage
from service.serving.client_limits import HELD_BYTES, ClientLimits
from service.serving.held_flow import HeldFlow
from service.serving.received import Received, is_one_head
from service.serving.request_head import body_length, check_form, check_size, refusal, with_path
from service.serving.send_progress import SendProgress

LINGER_S = 2.0
"""Seconds that a refused client has to read the error (assumed). An immediate close would reset the connection."""
HALF_CLOSED_S = 1.0
"""Seconds for which a request continues after the client has shut down its sending side (assumed).

TCP does not tell whether the client has disconnected or waits for its response. Most responses take less time.
"""
LEAVE_S = 1.0
"""Seconds for which a connection without a request stays open when the server shuts down (assumed).

Its next request may be on the way, and a close would reset it (RFC 9112 9.3.1).
"""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SLOW_S = 1.0  # a request that takes longer to arrive counts as slow (assumed): ordinary clients send it at once


class HttpConnection(HttpToolsProtocol):
    """The asyncio protocol of one client connection, with the limits of `ClientLimits`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        limits: ClientLimits,
        counts: ClientCounts,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.parser.set_dangerous_leniencies(lenient_version=True)  # check_form checks the HTTP version instead
        self._limits = limits
        self._counts = counts
        self._received = Received()
        self._request = ArrivingRequest(head_cap_bytes=limits.header_bytes)
        self._sending = SendProgress()
        self._waiting_since_s = time.monotonic()
        """The time since which the server waits for the client to send its next request, or the end of a request."""
        self._lingers = False
        self._half_closed = False
        self._leaves = False
        self._idle_until_s = float("inf")
        self._ends_by_s = float("inf")

    @property
    def _open_cycle(self) -> RequestResponseCycle | None:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's type lacks the None before the first request
        return None if cycle is None or cycle.response_complete else cycle

    @property
    def _is_answering(self) -> bool:
        return self._request.is_whole and self._open_cycle is not None

    @property
    def _is_idle(self) -> bool:
        return not self._request.has_begun or (self._request.is_whole and self._open_cycle is None)

    # asyncio's transport calls these methods.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start to read from a new connection."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport, self._received)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, up to the end of the next request."""
        if self._lingers:
            return
        if self._request.is_whole and not self._received and self._open_cycle is None and is_one_head(data):
            self._parse(data)  # the usual case: a whole request at once needs no buffer
            return
        self._received.append(data)
        self._read()
        if len(self._received) > HELD_BYTES:
            self.flow.pause_reading()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio uses the result; uvicorn's own returns None
        """Return whether the connection stays open for a response after the client has shut down its sending side."""
        self._half_closed = True
        self._ends_by_s = time.monotonic() + HALF_CLOSED_S
        return self._is_answering and not self._lingers

    # The HTTP parser calls these methods.

    def on_message_begin(self) -> None:
        """Start the timeout for a request. For the first request of a connection, it has run since the accept."""
        if self._request.has_begun:
            self._waiting_since_s = time.monotonic()
        self._request.begin()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse heads that uvicorn would accept but the edge does not, and start the application for the others."""
        check_size(self.url, self.headers, most_fields=self._limits.header_fields)
        check_form(self.headers, version=self.parser.get_http_version(), upgrade=self.parser.should_upgrade())
        body_bytes = body_length(self.headers)
        if not self.url.startswith(b"/"):
            self.url = with_path(self.url)
        super().on_headers_complete()
        if self._leaves:
            self.cycle.keep_alive = False
        self._request.end_head(body_bytes=body_bytes)
        if self.expect_100_continue:
            self._ask_for_body()
        self.headers = []  # the parser appends trailer fields here; they are ignored (RFC 9110 6.5.1)

    def on_message_complete(self) -> None:
        """Note that the whole request has arrived, which ends its timeout."""
        self._request.end()
        self._waiting_since_s = time.monotonic()
        super().on_message_complete()
        if not self.parser.should_keep_alive():
            self._close_after_response()

    # uvicorn's RequestResponseCycle calls this method.

    def on_response_complete(self) -> None:
        """Parse the next request, or wait for it. Unlike uvicorn's method, set no keep-alive timer for each request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self._request.is_whole:
            self._waiting_since_s = time.monotonic()
        self._read()
        self.flow.resume_reading()
        if self._half_closed:
            self._ends_by_s = time.monotonic() + HALF_CLOSED_S
            if not self._is_answering:
                self.transport.close()

    # `Clients` calls these methods, to enforce timeouts and to make room.

    def leave(self) -> None:
        """Close the connection after its present or next response."""
        self._leaves = True
        if (cycle := self._open_cycle) is not None:
            cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close the connection after its present response, after its next one, or after LEAVE_S without a request."""
        self.leave()
        self._idle_until_s = time.monotonic() + LEAVE_S

    def check_timeouts(self, now_s: float) -> None:
        """Close the connection if it has exceeded its timeout for a response, for a request, or between requests."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if self._sending.is_stalled(unsent_bytes, limit_s=self._limits.send_timeout_s, now_s=now_s):
            self._cut("send_timeout")
        elif self._lingers or self._half_closed:
            if now_s >= self._ends_by_s and not self._sending.unsent_bytes:
                self.transport.abort()
        elif now_s >= self._idle_until_s and self._is_idle:
            self.transport.close()
        elif not self._request.is_whole:
            if self._has_waited(self._limits.request_timeout_s, now_s):
                self._time_out()
        elif not self._is_answering and self._has_waited(self._limits.idle_timeout_s, now_s):
            self.transport.close()

    def eviction_rank(self, now_s: float) -> tuple[int, float] | None:
        """Return the order of closing to make room: slow requests, then idle connections, then new requests.

        Returns None while a response is in progress, because such a connection is never closed to make room.
        """
        if self._is_answering or self.transport.is_closing():
            return None
        if self._request.is_whole:
            return 1, self._waiting_since_s
        return 0 if now_s - self._waiting_since_s > SLOW_S else 2, self._waiting_since_s

    def evict(self) -> None:
        """Close the connection to make room for new clients."""
        self._cut("too_many")

    def _has_waited(self, limit_s: float, now_s: float) -> bool:
        return 0 < limit_s <= now_s - self._waiting_since_s

    def _cut(self, reason: str) -> None:
        self._counts.count_cut(reason)
        self.transport.abort()

    def _time_out(self) -> None:
        if self._request.has_begun:
            self._counts.count_cut("request_timeout")
            self._refuse(RequestTooSlow())
        else:
            self._cut("request_timeout")  # no 408, which answers only a request that has begun (RFC 9110 15.5.9)

    def _ask_for_body(self) -> None:
        """Send 100 Continue even if the body will be ignored, so that no later request is taken for the body."""
        self.cycle.waiting_for_100_continue = False
        # RFC 9110 10.1.1: not to HTTP/1.0
        if self._request.body_bytes != 0 and self.parser.get_http_version() != "1.0":
            self.transport.write(CONTINUE)

    def _close_after_response(self) -> None:
        """Close the connection after this response, because the client asked for it: the parser ignores later bytes.

        A client may ask in a trailer field, so that the head alone does not tell.
        """
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()

    def _read(self) -> None:
        while self._received and not (self._is_answering or self._lingers or self.transport.is_closing()):
            self._parse(self._received.take(at_most=self._request.next_bytes()))

    def _parse(self, piece: bytes | memoryview) -> None:
        self._request.add(len(piece))
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            # RFC 9110 7.8: a server may ignore Upgrade. The bytes after the head are then the next request.
            self._received.put_back(len(piece) - upgrade.args[0])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, EdgeError) else MalformedRequest())
        else:
            if self._request.is_too_large:
                target_bytes = len(self.url) if self._request.has_begun else 0
                self._refuse(self._request.excess(target_bytes=target_bytes))

    def _refuse(self, error: EdgeError) -> None:
        self._counts.count_refused(error.status)
        self._received.clear()
        cycle = self._open_cycle
        if cycle is not None:
            if cycle.response_started:  # finish the response, and close the connection without an error response
                cycle.keep_alive, self._lingers = False, True
                return
            cycle.disconnected = True
            cycle.message_event.set()
        elif self._request.stage is Stage.BODY:  # the response was sent before the whole body had arrived
            self._linger()
            return
        self.transport.write(refusal(error, head=self.parser.get_method() == b"HEAD"))
        self._linger()

    def _linger(self) -> None:
        """Shut down the sending side, and read until the client closes: a close with unread bytes would be a reset."""
        self._lingers = True
        self._ends_by_s = time.monotonic() + LINGER_S
        self.flow.resume_reading()
        self.transport.write_eof()
