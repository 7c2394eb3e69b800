"""Bind a server's socket, before anything else starts: a port that is in use ends the edge at once. Refuse new clients.

A listening socket that is closed resets the connections that wait in its backlog, and those whose handshake is not
complete. So a server that stops first tells the kernel to take no new connections, accepts those that wait, and closes
the socket then.
"""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
import sys
from contextlib import suppress

from service.errors import CannotListen

_SO_ATTACH_FILTER = 26  # linux/asm-generic/socket.h; Python has no name for it
_REFUSE_SYN = (
    # A program for Linux's packet filter (linux/filter.h): operation, two jumps, operand. The packet begins with the
    # TCP header, whose byte 13 has the flags. SYN (0x02) without ACK (0x10) is the first packet of a new connection.
    (0x30, 0, 0, 13),  # load byte 13
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # yes: drop the packet
    (0x06, 0, 0, 0xFFFF),  # no: take it whole
)


def bind(host: str, port: int) -> socket.socket:
    """Return a TCP socket that is bound to this address. Raises CannotListen if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from error
    bound.set_inheritable(True)  # worker processes listen on it too
    return bound


def announce(bound: socket.socket) -> None:
    """Log the address of a server in the words of uvicorn, whose logger must have been configured before."""
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    logging.getLogger("uvicorn.error").info("Uvicorn running on http://%s:%d (Press CTRL+C to quit)", shown, port)


def refuse_new(listening: socket.socket) -> None:
    """Take no new connections on this socket, in any process that shares it. Those under way can still be accepted.

    A new client hears nothing and tries again after a second. By then, the socket is closed, or a successor listens.
    Does nothing where the system has no such filter: a client that connects just before the close is then reset.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _REFUSE_SYN))
    with suppress(OSError):
        pointer = struct.pack("HP", len(_REFUSE_SYN), ctypes.addressof(program))
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
