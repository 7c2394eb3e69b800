"""Validation of the settings that hold addresses. No I/O.

No error message quotes an address, because it may hold a password.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def _parts(url: str) -> SplitResult:
    """Split an address and check its port, which would otherwise fail at the first connection. Raises ValueError."""
    parts = urlsplit(url)
    try:
        usable = parts.port != 0
    except ValueError:  # the port is not a number or above 65535; urllib's message would quote the address
        usable = False
    if not usable:
        raise ValueError("must have a port from 1 to 65535, or no port")
    return parts


def read_origin(url: str) -> str:
    """Return the address of an origin without a slash at its end. Raises ValueError."""
    parts = _parts(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if not url.isprintable() or " " in url:
        raise ValueError("must have neither spaces nor control characters")
    if parts.query or parts.fragment:
        raise ValueError("must have neither query nor fragment")
    return url.rstrip("/")


def read_parent(url: str) -> str:
    """Return the address of a parent without a slash at its end; it may be empty. Raises ValueError."""
    return read_origin(url) if url else ""


def read_store(url: str) -> str:
    """Return the address of a store; it may be empty. Raises ValueError."""
    if url and _parts(url).scheme not in {"redis", "rediss", "unix", "redis+cluster", "rediss+cluster"}:
        raise ValueError("must be a redis://, rediss://, unix://, redis+cluster:// or rediss+cluster:// address")
    return url
