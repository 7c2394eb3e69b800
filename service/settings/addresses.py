"""Validation of the settings that hold addresses. No I/O, except to look whether a folder exists.

No error message quotes an address, because it may contain a password.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import httpx

CAP_CHARACTERS = 4096
"""The longest address of an origin (assumed): with the longest id behind it, httpx still accepts the URL."""
FOLDER = "file://"
"""What the address of an origin that is a folder of this machine begins with."""

STORE_OPTIONS = (
    *(
        "client_name",
        "db",
        "health_check_interval",
        "max_connections",
        "password",
        "protocol",
        "socket_connect_timeout",
    ),
    *("socket_keepalive", "socket_timeout", "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs"),
    *("ssl_certfile", "ssl_check_hostname", "ssl_ciphers", "ssl_keyfile", "ssl_password", "timeout", "username"),
)
"""The options that a store's address may have (`?db=1`): those of redis-py that can be written in an address."""
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
"""Further options of an address with Sentinels."""


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
    if not url:
        raise ValueError("set it to the URL of the origin, such as https://pictures.example or file:///srv/pictures")
    parts = _parts(url)
    is_folder = url.startswith(FOLDER) and not parts.netloc and parts.path.startswith("/")
    if not is_folder and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError(
            "the address must begin with http:// or https:// and have a host, or with file:/// for a folder"
        )
    if not url.isprintable() or " " in url:
        raise ValueError("the address must not contain spaces or control characters")
    if parts.query or parts.fragment:
        raise ValueError("the address must not have a query or a fragment")
    if is_folder and not (parts.path.strip("/") and _is_folder(unquote(parts.path))):
        raise ValueError("the address names no folder that exists, or the root")
    if not is_folder and not _can_be_asked(url):
        raise ValueError("the address is too long, or its host is no valid name")
    return url.rstrip("/")


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:  # such as a path that is too long
        return False


def _can_be_asked(url: str) -> bool:
    """Return whether an HTTP client accepts the URL, and the resolver its host."""
    try:
        httpx.URL(url).raw_host.decode("ascii").encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return False
    return len(url) <= CAP_CHARACTERS


def read_parent(url: str) -> str:
    """Return the address of a parent without a slash at its end. It may be empty. Raises ValueError if not usable."""
    if url.startswith(FOLDER):
        raise ValueError("the address must begin with http:// or https://")
    return read_origin(url) if url else ""


def read_store(url: str) -> str:
    """Return the address of a store. It may be empty. Raises ValueError if it is not usable."""
    if not url:
        return url
    if urlsplit(url).scheme in {"redis+sentinel", "rediss+sentinel"}:
        # Its hosts and its service are checked by the store, which reads them (service/store/sentinel_address.py).
        _check_store_options(urlsplit(url), (*STORE_OPTIONS, *SENTINEL_OPTIONS))
        return url
    parts = _parts(url)
    if parts.scheme not in {"redis", "rediss", "unix", "redis+cluster", "rediss+cluster"}:
        raise ValueError(
            "the address must begin with redis://, rediss://, unix://, or with redis or rediss and +cluster:// or "
            "+sentinel://"
        )
    # redis-py passes over a path that is no number. The path of a unix socket is no database.
    if parts.scheme != "unix" and parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("the address must have no path, or the number of a database as its path")
    _check_store_options(parts, STORE_OPTIONS)
    return url


def _check_store_options(parts: SplitResult, known: tuple[str, ...]) -> None:
    if not {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} <= set(known):
        raise ValueError(f"the address has an unknown option; known ones are {', '.join(known)}")
