"""Check the bearer token in the Authorization field of a request (RFC 6750 2.1). No I/O.

No error message and no log line contains a token, and a request's token is never forwarded (see forwarding.py).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

_AUTHORIZATION = b"authorization"


def bears(headers: Iterable[tuple[bytes, bytes]], token: str) -> bool:
    """Return whether the Authorization field in `headers` holds `token`. Return False if `token` is empty."""
    given = [value for name, value in headers if name == _AUTHORIZATION]
    if not token or len(given) != 1:  # RFC 9110 11.6.2: Authorization must occur only once
        return False
    scheme, _, credentials = given[0].partition(b" ")
    # compare_digest takes the same time wherever the tokens differ, so its duration does not help to guess the token.
    matches = hmac.compare_digest(credentials.strip(b" "), token.encode("ascii"))
    return scheme.lower() == b"bearer" and matches
