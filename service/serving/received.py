"""Bytes of a client that are received and not parsed yet. No I/O.

They are handed out in pieces, each of which ends with at most one request head. A parser that is given one piece at a
time never reads further than the request that is to be answered next.
"""

from __future__ import annotations

_END_OF_HEAD = b"\r\n\r\n"


SHORT_BYTES = 1024  # the least that EDGE_HEADER_BYTES may be


def is_one_head(received: bytes) -> bool:
    """Return whether this is short and ends where its only end of a head is."""
    length = len(received)
    return length <= SHORT_BYTES and received.find(_END_OF_HEAD) == length - len(_END_OF_HEAD)


class Received:
    """The bytes of one connection."""

    def __init__(self) -> None:
        self._bytes = b""
        self._start = 0

    def __len__(self) -> int:
        return len(self._bytes) - self._start

    def append(self, received: bytes) -> None:
        """Add what the client has sent since."""
        self._bytes = self._bytes[self._start :] + received if len(self) else received
        self._start = 0

    def take(self, *, at_most: int) -> memoryview:
        """Return the next piece, up to the end of a request head or `at_most` bytes long."""
        found = self._bytes.find(_END_OF_HEAD, self._start)
        end = len(self._bytes) if found < 0 else found + len(_END_OF_HEAD)
        piece = memoryview(self._bytes)[self._start : min(end, self._start + at_most)]
        self._start += len(piece)
        return piece

    def put_back(self, count: int) -> None:
        """Undo the last bytes of the last piece: they were not parsed."""
        self._start -= count

    def clear(self) -> None:
        """Forget all."""
        self._bytes, self._start = b"", 0
