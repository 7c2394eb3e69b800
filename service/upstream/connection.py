"""One HTTP/1.1 connection that carries one GET at a time. h11 parses; nothing is retried or followed here.

An origin may send more than it was asked for: bytes behind an answer, or an answer that nobody has asked for. A
library that reads ahead would take them for the answer to its next request. So a connection is used again only if all
of these conditions hold, and every layer that could hold such bytes is checked:

    the answer has ended, and h11 has nothing left       RFC 9112 6.3
    nothing has come since then, here or in the kernel   RFC 9112 9.2
    the request had arrived before its answer came       RFC 9112 9.5
    the framing was beyond doubt                         RFC 9112 6.1
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

HEAD_CAP_BYTES = 100 * 1024  # assumed: what httpcore allows
INTERIM_ANSWERS = 8  # assumed: an origin sends one or two (100, 103) before its answer
PIECES_A_TURN = 64  # assumed: about a millisecond, then others have their turn
READ_AHEAD_BYTES = 2**18
"""Assumed: an origin that sends faster than its answer is read waits from here on."""


class Connection(asyncio.Protocol):
    """A connection to one address. It closes itself on every byte that it has not asked for."""

    def __init__(self) -> None:
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_CAP_BYTES)
        self._transport: asyncio.Transport | None = None
        self._arrived = asyncio.Event()
        self.closed = asyncio.Event()
        self._is_asked = self._is_reused = False
        self._is_doubtful = False
        self._is_paused = False
        self._unread_bytes = 0
        self.has_answered = False
        """Whether a byte of the answer to the present request has come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._is_asked:
            self.close()
            return
        if not self.has_answered:
            self._is_doubtful = self._has_unsent()
            if self._is_doubtful and self._is_reused:  # it was on its way before this request was
                self.close()
                return
            self.has_answered = True
        self._parser.receive_data(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > READ_AHEAD_BYTES and not self._is_paused:
            self._opened.pause_reading()
            self._is_paused = True
        self._arrived.set()

    def eof_received(self) -> None:
        if self._is_asked:
            self._parser.receive_data(b"")
        self._arrived.set()
        # None lets asyncio close the transport: a half-open connection is good for no request.

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  (asyncio's signature)
        self.closed.set()
        self._arrived.set()

    async def ask(self, request: httpx.Request) -> h11.Response:
        """Send a request and return the head of its answer. Raises httpx.TransportError, and is closed then."""
        try:
            self._send(request)
            return await self._head()
        except BaseException:
            self.close()
            raise

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body of the answer piece by piece. Raises httpx.TransportError."""
        pieces = 0
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            pieces += 1
            if pieces % PIECES_A_TURN == 0:  # chunks may be of one byte each, and those that are here wait for nothing
                await asyncio.sleep(0)

    def rest(self) -> bool:
        """End the answer. Return whether the connection can be used again; it is closed if not."""
        self._skip()
        if not self._is_at_end():
            self.close()
            return False
        self._parser.start_next_cycle()
        self._is_asked = self.has_answered = False
        self._is_reused = True
        self._read_on()  # so that bytes that nobody has asked for are seen when they come
        return True

    def is_reusable(self) -> bool:
        """Return whether a connection at rest is still open and silent."""
        # What lies in the kernel has come before the request, although the event loop has not seen it yet.
        return not self._opened.is_closing() and not self._is_readable()

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        self._opened.abort()

    @property
    def _opened(self) -> asyncio.Transport:
        assert self._transport is not None, "asyncio calls connection_made first"
        return self._transport

    def _send(self, request: httpx.Request) -> None:
        if self._opened.is_closing():
            raise httpx.RemoteProtocolError("the origin closed the connection, or answered before it was asked")
        try:
            head = self._parser.send(
                h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
            )
            self._parser.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        assert head is not None, "only a connection that closes has no bytes to send"
        self._is_asked = True
        self._opened.write(head)

    async def _head(self) -> h11.Response:
        for _ in range(INTERIM_ANSWERS + 1):
            event = await self._event()
            if isinstance(event, h11.Response):
                names = {name for name, _ in event.headers}
                self._is_doubtful |= {b"transfer-encoding", b"content-length"} <= names
                return event
        raise httpx.RemoteProtocolError(f"more than {INTERIM_ANSWERS} interim answers")

    async def _event(self) -> h11.Event:
        while True:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError(str(error)) from error
            if isinstance(event, h11.ConnectionClosed):
                raise httpx.RemoteProtocolError("the origin hung up without an answer")
            if not isinstance(event, type):  # h11's sentinels NEED_DATA and PAUSED are types
                return event
            await self._more()

    async def _more(self) -> None:
        if self.closed.is_set():
            raise httpx.ReadError("the connection was lost")
        self._read_on()
        await self._arrived.wait()

    def _read_on(self) -> None:
        self._arrived.clear()
        self._unread_bytes = 0
        if self._is_paused and not self._opened.is_closing():
            self._opened.resume_reading()
            self._is_paused = False

    def _skip(self) -> None:
        """Skip the bytes of an unread answer that have already arrived, such as the page of a 404."""
        with suppress(h11.RemoteProtocolError):
            while isinstance(self._parser.next_event(), h11.Data):
                pass

    def _is_at_end(self) -> bool:
        surplus, has_ended = self._parser.trailing_data
        both_done = self._parser.our_state is h11.DONE and self._parser.their_state is h11.DONE
        return both_done and not (surplus or has_ended or self._is_doubtful or self._opened.is_closing())

    def _has_unsent(self) -> bool:
        """Return whether the origin cannot have the whole request yet: its TCP would have acknowledged it."""
        if self._opened.get_write_buffer_size():
            return True
        unsent = bytearray(4)
        try:
            fcntl.ioctl(self._descriptor(), termios.TIOCOUTQ, unsent)
        except OSError:  # a system that cannot tell
            return False
        return struct.unpack("i", unsent) != (0,)

    def _is_readable(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor(), selectors.EVENT_READ)
            return bool(selector.select(timeout=0))

    def _descriptor(self) -> int:
        return int(self._opened.get_extra_info("socket").fileno())
