"""The `traceparent` field of the request under way (W3C Trace Context), which is sent on to other servers. No I/O.

It is empty unless the edge writes traces: see `service/web/traced_pictures.py`.
"""

from __future__ import annotations

from contextvars import ContextVar

NAME = b"traceparent"
TRACEPARENT: ContextVar[bytes] = ContextVar("traceparent", default=b"")
"""The traceparent of the current request. A fill runs in a task of its own, which inherits the value of the request
that started it."""


def traceparent_lines() -> list[tuple[bytes, bytes]]:
    """Return the header fields that a request to another server gets."""
    value = TRACEPARENT.get()
    return [(NAME, value)] if value else []
