"""The secret that a request may carry as a bearer token (RFC 6750 2.1). No I/O.

No message and no log line holds a token, and `forwarding` never passes one on.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

_AUTHORIZATION = b"authorization"


def bears(headers: Iterable[tuple[bytes, bytes]], token: str) -> bool:
    """Return whether a request carries this token. No request carries an empty one."""
    given = [value for name, value in headers if name == _AUTHORIZATION]
    if not token or len(given) != 1:  # RFC 9110 11.6.2: Authorization is not a list-based field
        return False
    scheme, _, credentials = given[0].partition(b" ")
    # The time that this takes does not tell where the two begin to differ.
    matches = hmac.compare_digest(credentials.strip(b" "), token.encode("ascii"))
    return scheme.lower() == b"bearer" and matches
