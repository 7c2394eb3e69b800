"""The name under which a request is found again, in this log and in others'. Pure but for the number that it draws."""

from __future__ import annotations

import re
from collections.abc import Iterable
from secrets import token_hex

FIELD = b"x-request-id"
NEW_BYTES = 16
# What ids are made of everywhere: nothing in it can break a log line, a header or a shell command.
_SANE = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The client's own where it is given once and sane; else a new one."""
    given = [value for name, value in headers if name == FIELD]
    if len(given) == 1 and _SANE.fullmatch(given[0]):
        return given[0].decode("ascii")
    return token_hex(NEW_BYTES)
