"""Bind a server's socket before anything else starts, so that the edge ends at once if its port is in use."""

from __future__ import annotations

import logging
import socket

from service.errors import CannotListen


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
