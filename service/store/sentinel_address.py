"""Parse the address of a primary that Sentinels know: redis+sentinel://host:port,host2:port/service/db. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

SENTINEL = "+sentinel"
"""The suffix of the URL scheme."""
OPTIONS = ("sentinel_username", "sentinel_password")
"""The options for the user of the Sentinels. Those of redis-py are for the primary, and for TLS of both."""
_PORT = 26379
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/\s]+))(?::(\d{1,5}))?")
_SERVICE = re.compile(r"/([A-Za-z0-9_.-]+)(?:/(\d{1,5}))?/?")


@dataclass(frozen=True, slots=True, repr=False)
class SentinelAddress:
    """The Sentinels, the name of the service whose primary they know, and how to connect to it.

    Its `repr` has no fields, which may be secret.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    primary_url: str
    """An address for redis-py: user, password, database and options. Its host has no meaning."""
    sentinel_username: str = ""
    sentinel_password: str = ""

    @classmethod
    def of(cls, url: str) -> Self | None:
        """Parse an address. Return None if its scheme is another. Raises ValueError, without quoting the address."""
        scheme, _, rest = url.partition("://")
        if not scheme.endswith(SENTINEL):
            return None
        parts = urlsplit(f"sentinel://{rest}")
        credentials, at, hosts = parts.netloc.rpartition("@")
        path = _SERVICE.fullmatch(parts.path)
        if path is None:
            raise ValueError(
                "the address must have the name of the service as its path, and may have a database after it"
            )
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        username, password = (options.pop(name, "") for name in OPTIONS)
        query = f"?{urlencode(options)}" if options else ""
        plain = scheme.removesuffix(SENTINEL)
        return cls(
            sentinels=tuple(_read_host(host) for host in hosts.split(",")),
            service=path[1],
            primary_url=f"{plain}://{credentials}{at}primary/{path[2] or 0}{query}",
            sentinel_username=username,
            sentinel_password=password,
        )


def _read_host(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found[3] or _PORT) if found else 0
    if found is None or not 0 < port <= 65_535:  # noqa: PLR2004  (the largest port)
        raise ValueError("the address must have hosts separated by commas, each with a port from 1 to 65535 or none")
    return unquote(found[1] or found[2]), port
