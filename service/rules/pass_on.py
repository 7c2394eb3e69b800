"""Select the response fields of the origin that clients get besides those for caching, and encode them for a record.

By default these are the fields by which an origin lets other sites use its pictures, and those for search engines,
downloads and preloads. Standard library only, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

Lines = tuple[tuple[str, str], ...]
"""Field names in lower case with their values, sorted by name. A value is the origin's bytes as Latin-1 text."""
CAP_BYTES = 8192
"""The maximum number of bytes of such fields in a record. Assumed: nginx's limit on one header line."""
NONE = "none"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # a field name in lower case (RFC 9110 5.6.2)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]+")  # a field value that is not empty (RFC 9110 5.5)
# Fields of the connection (RFC 9110 7.6.1), fields that name a client, and fields that the edge writes itself, because
# it sends other bytes than the origin. A lifetime for another cache would outlast the expiry of a signed URL.
_NEVER = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via"),
        *("set-cookie", "set-cookie2", "www-authenticate", "authentication-info", "clear-site-data"),
        *("accept-ranges", "age", "cache-control", "cache-status", "cache-tag", "cdn-cache-control", "date", "etag"),
        *("expires", "last-modified", "latentedge-source", "location", "pragma", "retry-after", "server-timing"),
        *("surrogate-key", "vary", "x-content-type-options", "x-request-id", "allow", "digest", "repr-digest"),
        *("content-encoding", "content-length", "content-location", "content-range", "content-type", "content-digest"),
        *("content-md5", "signature", "signature-input", "alt-svc", "cdn-loop"),
        *("edge-control", "surrogate-control", "x-accel-expires"),
    }
)
_NEVER_PREFIXES = ("proxy-", "sec-")
_NEVER_ENDING = "cache-control"  # such as Cloudflare-CDN-Cache-Control (RFC 9213 3.1)


@dataclass(frozen=True, slots=True)
class PassOn:
    """The names of the origin's response fields that clients get, as set by EDGE_PASS_ON."""

    names: frozenset[str] = frozenset(
        {
            "access-control-allow-origin",
            "content-disposition",
            "cross-origin-resource-policy",
            "link",
            "timing-allow-origin",
            "x-robots-tag",
        }
    )

    def select(self, headers: Iterable[tuple[bytes, bytes]]) -> Lines:
        """Return the fields of a response that clients get. Several lines of a field become one (RFC 9110 5.3)."""
        said: dict[str, list[str]] = {}
        for raw_name, raw_value in headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
            if name in self.names and _VALUE.fullmatch(value):
                said.setdefault(name, []).append(value)
        return tuple(sorted((name, ", ".join(values)) for name, values in said.items()))

    def __str__(self) -> str:
        return ",".join(sorted(self.names)) or NONE


USUAL = PassOn()
"""The fields that are passed on by default."""


def read_pass_on(value: object) -> PassOn:
    """Parse the value of EDGE_PASS_ON: `none`, or field names separated by commas. Raises ValueError."""
    if isinstance(value, PassOn):
        return value
    text = str(value).strip().lower()
    if text == NONE:
        return PassOn(frozenset())
    names = [name.strip() for name in text.split(",")]
    if not all(_TOKEN.fullmatch(name) for name in names):
        raise ValueError("the value must be none, or names of fields such as link,x-robots-tag")
    never = [
        name for name in names if name in _NEVER or name.startswith(_NEVER_PREFIXES) or name.endswith(_NEVER_ENDING)
    ]
    if never:
        raise ValueError(
            f"the value must not name {', '.join(never)}: the edge writes it itself, or it is meant for one client"
        )
    return PassOn(frozenset(names))


def _is_never(name: str) -> bool:
    return name in _NEVER or name.startswith(_NEVER_PREFIXES) or name.endswith(_NEVER_ENDING)


def update(stored: Lines, said: Lines) -> Lines:
    """Return stored fields updated by the fields of a 304 (RFC 9111 3.2)."""
    return tuple(sorted({**dict(stored), **dict(said)}.items()))


def can_be_kept(lines: Lines) -> bool:
    """Return whether a record has room for the fields."""
    return len(pack_lines(lines)) <= CAP_BYTES


def pack_lines(lines: Lines) -> bytes:
    """Encode the fields for a record, one `name: value` a line."""
    return "\n".join(f"{name}: {value}" for name, value in lines).encode("latin-1")


def unpack_lines(packed: bytes) -> Lines:
    """Parse the bytes that `pack_lines` wrote. Raises ValueError if they are malformed."""
    lines = tuple((name, value) for name, _, value in (line.partition(": ") for line in _split(packed)))
    if len(packed) > CAP_BYTES or not all(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value) for name, value in lines):
        raise ValueError("the fields that are passed on are malformed or too long")
    return lines


def _split(packed: bytes) -> list[str]:
    return packed.decode("latin-1").split("\n")
