"""Buffer bytes that a client has sent and that are not parsed yet. No I/O.

`take` returns pieces with at most one request head each, at their end. So the parser reads no further than the next
request to answer.
"""

from __future__ import annotations

_END_OF_HEAD = b"\r\n\r\n"
SHORT_BYTES = 1024  # the smallest EDGE_HEADER_BYTES, so a short head needs no check of its size


def is_one_head(received: bytes) -> bool:
    """Return whether these bytes are one whole request head of at most SHORT_BYTES, and nothing else."""
    length = len(received)
    return length <= SHORT_BYTES and received.find(_END_OF_HEAD) == length - len(_END_OF_HEAD)


class Received:
    """The unparsed bytes of one connection."""

    def __init__(self) -> None:
        self._bytes = b""
        self._start = 0

    def __len__(self) -> int:
        return len(self._bytes) - self._start

    def append(self, received: bytes) -> None:
        """Add received bytes."""
        self._bytes = self._bytes[self._start :] + received if len(self) else received
        self._start = 0

    def take(self, *, at_most: int) -> memoryview:
        """Remove and return the next piece: up to the end of a request head, and at most `at_most` bytes."""
        found = self._bytes.find(_END_OF_HEAD, self._start)
        end = len(self._bytes) if found < 0 else found + len(_END_OF_HEAD)
        piece = memoryview(self._bytes)[self._start : min(end, self._start + at_most)]
        self._start += len(piece)
        return piece

    def put_back(self, count: int) -> None:
        """Put the last `count` bytes of the last piece back, because the parser did not use them."""
        self._start -= count

    def clear(self) -> None:
        """Discard all bytes."""
        self._bytes, self._start = b"", 0
