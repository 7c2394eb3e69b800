"""Validate the Host field of a request (RFC 9112 3.2). No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence

# RFC 9110 7.2: Host = uri-host [ ":" port ]. RFC 3986 3.2.2: uri-host is an IP literal or a registered name, which may
# be empty.
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|\[[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+\]"
    rb"|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)"
    rb"(?::[0-9]*)?"
)
HOST_CAP_BYTES = 512  # the longest accepted Host; assumed: a DNS name has at most 253 characters


def host_fault(lines: Sequence[bytes], *, version: str) -> str:
    """Return what is wrong with the Host lines of a request, or "" if there is exactly one and it is valid."""
    if not lines:
        return "Host is missing" if version != "1.0" else ""  # HTTP/1.0 requests need no Host field
    if len(lines) > 1:
        return "Host occurs more than once"
    host = lines[0].strip(b" \t")
    return "" if len(host) <= HOST_CAP_BYTES and _HOST.fullmatch(host) else "Host is not valid"
