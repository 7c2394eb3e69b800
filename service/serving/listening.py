"""Bind a server's socket, before anything else starts: a port that is in use ends the edge at once."""

from __future__ import annotations

import logging
import socket

from service.errors import CannotListen


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to this address. Raises CannotListen."""
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
    """Log the address of a server, in uvicorn's words. Expects that uvicorn has configured its log."""
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    logging.getLogger("uvicorn.error").info("Uvicorn running on http://%s:%d (Press CTRL+C to quit)", shown, port)
