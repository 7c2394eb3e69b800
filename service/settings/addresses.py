"""Validation of the settings that hold addresses. No I/O.

No error message quotes an address, because it may contain a password.
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
        raise ValueError("the address must have a port from 1 to 65535, or no port")
    return parts


def read_origin(url: str) -> str:
    """Return the address of an origin without a slash at its end. Raises ValueError if it is not usable."""
    parts = _parts(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the address must begin with http:// or https:// and have a host")
    if not url.isprintable() or " " in url:
        raise ValueError("the address must not contain spaces or control characters")
    if parts.query or parts.fragment:
        raise ValueError("the address must not have a query or a fragment")
    return url.rstrip("/")


def read_parent(url: str) -> str:
    """Return the address of a parent without a slash at its end. It may be empty. Raises ValueError if not usable."""
    return read_origin(url) if url else ""


def read_store(url: str) -> str:
    """Return the address of a store. It may be empty. Raises ValueError if its scheme or port is not usable."""
    if url and _parts(url).scheme not in {"redis", "rediss", "unix", "redis+cluster", "rediss+cluster"}:
        raise ValueError(
            "the address must begin with redis://, rediss://, unix://, redis+cluster:// or rediss+cluster://"
        )
    return url
