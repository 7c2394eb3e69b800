"""One HTTP/1.1 connection that carries one GET at a time, parsed by h11. It retries nothing and follows no redirects.

An origin may send surplus bytes: after the end of a response, or without a request. A client that reads ahead would
treat them as the response to its next request. So a connection is reused only if all of these conditions hold. They are
checked in every layer that could buffer surplus bytes:

    the response is complete, and h11 has no bytes left        RFC 9112 6.3
    no bytes have arrived since, here or in the kernel         RFC 9112 9.2
    the whole request was received before its response began   RFC 9112 9.5
    the framing was not ambiguous                              RFC 9112 6.1
"""

from __future__ import annotations

import asyncio
import fcntl
import selectors
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import cast

import h11
import httpx

HEAD_CAP_BYTES = 100 * 1024  # the longest head of a response (assumed); httpcore has the same limit
INTERIM_ANSWERS = 8  # the limit on 1xx responses before the final one; assumed: an origin sends one or two (100, 103)
PIECES_A_TURN = 64  # assumed: parsing 64 pieces of a body takes about a millisecond; then other tasks may run
READ_AHEAD_BYTES = 2**18
"""Above this many unread bytes, reading from the socket pauses (assumed)."""


class Connection(asyncio.Protocol):
    """A connection to one address. It closes itself if bytes arrive without a request."""

    def __init__(self) -> None:
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_CAP_BYTES)
        self._transport: asyncio.Transport | None = None
        self._arrived = asyncio.Event()
        self.closed = asyncio.Event()
        self._is_awaiting = self._is_reused = False
        self._is_doubtful = False
        self._is_paused = False
        self._unread_bytes = 0
        self.has_answered = False
        """Whether a byte of the response to the current request has arrived."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._is_awaiting:
            self.close()
            return
        if not self.has_answered:
            self._is_doubtful = self._has_unsent()
            if self._is_doubtful and self._is_reused:  # bytes from before this request are surplus
                self.close()
                return
            self.has_answered = True
        self._parser.receive_data(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > READ_AHEAD_BYTES and not self._is_paused:
            self._open_transport.pause_reading()
            self._is_paused = True
        self._arrived.set()

    def eof_received(self) -> None:
        if self._is_awaiting:
            self._parser.receive_data(b"")
        self._arrived.set()
        # Returning None lets asyncio close the transport: a half-closed connection cannot carry another request.

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  (asyncio's signature)
        self.closed.set()
        self._arrived.set()

    async def ask(self, request: httpx.Request) -> h11.Response:
        """Send a request, and return the head of its response. On any error the connection is closed.

        Raises httpx.TransportError.
        """
        try:
            self._send(request)
            return await self._read_head()
        except BaseException:
            self.close()
            raise

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body of the response piece by piece. Raises httpx.TransportError."""
        pieces = 0
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            pieces += 1
            if pieces % PIECES_A_TURN == 0:
                # While pieces are already buffered, this loop never waits, and other tasks would never run.
                await asyncio.sleep(0)

    def finish(self) -> bool:
        """End the current response. Return whether the connection can be reused; if not, it is closed."""
        self._skip()
        if not self._is_at_end():
            self.close()
            return False
        self._parser.start_next_cycle()
        self._is_awaiting = self.has_answered = False
        self._is_reused = True
        self._read_on()  # an idle connection keeps reading, so that it notices surplus bytes when they arrive
        return True

    def is_reusable(self) -> bool:
        """Return whether an idle connection is still open, and no bytes have arrived on it."""
        # Bytes in the kernel's buffer arrived before the next request was sent, so they are surplus, even if the event
        # loop has not read them yet.
        return not self._open_transport.is_closing() and not self._is_readable()

    def close(self) -> None:
        """Close the connection at once, also in the middle of a response."""
        self._open_transport.abort()

    @property
    def _open_transport(self) -> asyncio.Transport:
        assert self._transport is not None, "asyncio calls connection_made first"
        return self._transport

    def _send(self, request: httpx.Request) -> None:
        if self._open_transport.is_closing():
            raise httpx.RemoteProtocolError("the origin closed the connection, or sent bytes before the request")
        try:
            head = self._parser.send(
                h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
            )
            self._parser.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(f"the request is not valid HTTP/1.1: {error}") from error
        assert head is not None, "h11 returns None only for ConnectionClosed"
        self._is_awaiting = True
        self._open_transport.write(head)

    async def _read_head(self) -> h11.Response:
        for _ in range(INTERIM_ANSWERS + 1):
            event = await self._next_event()
            if isinstance(event, h11.Response):
                names = {name for name, _ in event.headers}
                self._is_doubtful |= {b"transfer-encoding", b"content-length"} <= names
                return event
        raise httpx.RemoteProtocolError(f"the origin sent more than {INTERIM_ANSWERS} interim responses (1xx)")

    async def _next_event(self) -> h11.Event:
        while True:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError(f"the response is not valid HTTP/1.1: {error}") from error
            if isinstance(event, h11.ConnectionClosed):
                raise httpx.RemoteProtocolError("the origin closed the connection without a response")
            if not isinstance(event, type):  # NEED_DATA and PAUSED of h11 are types, not events
                return event
            await self._wait_for_bytes()

    async def _wait_for_bytes(self) -> None:
        if self.closed.is_set():
            raise httpx.ReadError("the connection to the origin was lost")
        self._read_on()
        await self._arrived.wait()

    def _read_on(self) -> None:
        self._arrived.clear()
        self._unread_bytes = 0
        if self._is_paused and not self._open_transport.is_closing():
            self._open_transport.resume_reading()
            self._is_paused = False

    def _skip(self) -> None:
        """Read and drop the part of the body that has already arrived, such as the error page of a 404."""
        with suppress(h11.RemoteProtocolError):
            while isinstance(self._parser.next_event(), h11.Data):
                pass

    def _is_at_end(self) -> bool:
        surplus, has_ended = self._parser.trailing_data
        both_done = self._parser.our_state is h11.DONE and self._parser.their_state is h11.DONE
        return both_done and not (surplus or has_ended or self._is_doubtful or self._open_transport.is_closing())

    def _has_unsent(self) -> bool:
        """Return whether a part of the request is unsent or unacknowledged, so the origin cannot have read it all."""
        if self._open_transport.get_write_buffer_size():
            return True
        unsent = bytearray(4)
        try:
            fcntl.ioctl(self._fileno(), termios.TIOCOUTQ, unsent)
        except OSError:  # this operating system does not support TIOCOUTQ
            return False
        return struct.unpack("i", unsent) != (0,)

    def _is_readable(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._fileno(), selectors.EVENT_READ)
            return bool(selector.select(timeout=0))

    def _fileno(self) -> int:
        return int(self._open_transport.get_extra_info("socket").fileno())
