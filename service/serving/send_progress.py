"""Tell whether a client still reads its response. No I/O, no clock."""

from __future__ import annotations


class SendProgress:
    """The bytes of responses that one client has not read yet."""

    def __init__(self) -> None:
        self.unsent_bytes = 0
        self._stalled_since_s = 0.0

    def is_stalled(self, unsent_bytes: int, *, limit_s: float, now_s: float) -> bool:
        """Return whether the client has read nothing of its response for as long as the send timeout; 0 means none."""
        if not unsent_bytes or unsent_bytes < self.unsent_bytes or not self.unsent_bytes:
            self._stalled_since_s = now_s
        self.unsent_bytes = unsent_bytes
        return 0 < limit_s <= now_s - self._stalled_since_s
