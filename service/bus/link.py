"""A worker's end of the message bus to the decoder: one DEALER socket of zmq on an event loop. Does not read messages.

The file descriptor of a zmq socket is edge-triggered: it becomes readable once for several messages, and not at all for
messages that arrive during a send. So the socket is drained after each event and after each send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import zmq
from zmq.utils.monitor import parse_monitor_message

from service.bus.arrays import Buffer
from service.bus.router import MESSAGE_BYTES
from service.errors import QueueFull

RECONNECT_MS = 100
"""Milliseconds between two attempts to connect to a decoder that is away (assumed)."""


@dataclass(frozen=True, slots=True)
class Events:
    """The functions that a link calls on the event loop: for each message, and when its connection opens or ends."""

    on_message: Callable[[list[Buffer]], None]
    on_connected: Callable[[], None]
    on_lost: Callable[[], None]


class Link:
    """A connection to the decoder, which is opened again automatically after a restart of the decoder."""

    def __init__(self, address: str, events: Events, *, waiting: int) -> None:
        """Create the sockets. At most `waiting` messages may wait in each direction."""
        self._address = address
        self._events = events
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # messages are not queued while the decoder is away
        self._socket.setsockopt(zmq.SNDHWM, waiting)
        self._socket.setsockopt(zmq.RCVHWM, waiting)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
        self._socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Start to connect to the decoder. All callbacks run on the event loop of this call."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)
        self._loop.add_reader(self._monitor.fileno(), self._watch)
        self._socket.connect(self._address)
        self._loop.call_soon(self._watch)

    def send(self, frames: list[Buffer]) -> None:
        """Send a message. Raises QueueFull if too many messages wait, or if no decoder is connected."""
        assert self._loop is not None, "open() comes first"
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            raise QueueFull("the decoder takes no requests now: too many wait, or it is not connected") from None
        self._loop.call_soon(self._read)

    def close(self) -> None:
        """Close the sockets. Messages that wait to be sent are dropped."""
        if self._socket.closed:
            return
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_reader(self._monitor.fileno())
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)
        self._context.term()

    def _read(self) -> None:
        while not self._socket.closed:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._events.on_message([frame.buffer for frame in frames])

    def _watch(self) -> None:
        while not self._monitor.closed:
            try:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            if event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._events.on_connected()
            else:
                self._events.on_lost()
