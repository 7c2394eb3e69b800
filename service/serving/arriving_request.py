"""Count the bytes of the request that a client is sending, and compare them with the limits. No I/O, no clock."""

from __future__ import annotations

from enum import Enum, auto

from service.errors import BodyTooLarge, EdgeError, HeadTooLarge, TargetTooLong
from service.serving.client_limits import BODY_CAP_BYTES, TARGET_CAP_BYTES


class Stage(Enum):
    """How far the present request has arrived: its head or its body is being received, or it is whole."""

    HEAD = auto()
    BODY = auto()
    WHOLE = auto()


class ArrivingRequest:
    """The present request of one connection, as far as it has been parsed."""

    def __init__(self, *, head_cap_bytes: int) -> None:
        self._head_cap_bytes = head_cap_bytes
        self.stage = Stage.HEAD
        self.has_begun = False
        """Whether the client has begun a request on this connection."""
        self.body_bytes: int | None = None
        """The length of the present request's body in bytes, or None if it is chunked."""
        self._part_bytes = 0
        """The number of bytes of the present head or body that have been parsed."""

    @property
    def is_whole(self) -> bool:
        """Whether the whole request has arrived, so that no further bytes belong to it."""
        return self.stage is Stage.WHOLE

    @property
    def is_too_large(self) -> bool:
        """Whether more bytes of the present head or body were parsed than are allowed."""
        return self._part_bytes > self._most_bytes()

    def begin(self) -> None:
        """Note the first byte of a request."""
        self.has_begun, self.stage = True, Stage.HEAD

    def end_head(self, *, body_bytes: int | None) -> None:
        """Note the end of the head, which tells the length of the body; None for a chunked body."""
        self.stage, self._part_bytes, self.body_bytes = Stage.BODY, 0, body_bytes

    def end(self) -> None:
        """Note the end of the request."""
        self.stage, self._part_bytes = Stage.WHOLE, 0

    def add(self, count: int) -> None:
        """Count bytes that are about to be parsed."""
        self._part_bytes += count

    def next_bytes(self) -> int:
        """Return how many bytes to parse next at most.

        For a body of known length, this is the rest of the body. Otherwise it is one byte more than the size limit, so
        that an excess is noticed.
        """
        if self.stage is Stage.BODY and self.body_bytes is not None:
            return self.body_bytes - self._part_bytes
        return self._most_bytes() - self._part_bytes + 1

    def excess(self, *, target_bytes: int) -> EdgeError:
        """Return the error for a head or body that is too large. `target_bytes` is the length of its target so far."""
        if self.stage is Stage.BODY:
            return BodyTooLarge()
        is_in_target = self.stage is Stage.HEAD and target_bytes > TARGET_CAP_BYTES
        return TargetTooLong() if is_in_target else HeadTooLarge()

    def _most_bytes(self) -> int:
        return BODY_CAP_BYTES if self.stage is Stage.BODY else self._head_cap_bytes
