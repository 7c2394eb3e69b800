"""Choose the X-Request-ID, which links the log lines of one request across servers. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from secrets import token_hex

FIELD = b"x-request-id"
NEW_BYTES = 16
# The usual characters of request ids, none of which has a meaning in JSON, in a header field or in a shell.
_VALID = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")


def choose_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that the client sent, if it sent one valid id, otherwise a new one of 32 hex digits."""
    given = [value for name, value in headers if name == FIELD]
    if len(given) == 1 and _VALID.fullmatch(given[0]):
        return given[0].decode("ascii")
    return token_hex(NEW_BYTES)
