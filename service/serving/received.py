"""Buffer bytes that a client has sent and that are not parsed yet. No I/O.

A piece that `take` returns ends with CRLFCRLF at the latest, as a request head and a chunked body do (RFC 9112 7.1). So
the parser reads no further than the end of the present request. The length of any other body is known.
"""

from __future__ import annotations

_BLANK_LINE = b"\r\n\r\n"
_LOOK_BACK_BYTES = len(_BLANK_LINE) - 1  # search this far back: the start of a CRLFCRLF may have been parsed already
SHORT_BYTES = 1024  # the smallest EDGE_HEADER_BYTES that is allowed, so that a shorter head is never too large


def is_one_head(received: bytes) -> bool:
    """Return whether these bytes are one whole request head of at most SHORT_BYTES, and nothing else."""
    length = len(received)
    return length <= SHORT_BYTES and received.find(_BLANK_LINE) == length - len(_BLANK_LINE)


class Received:
    """The bytes of one connection that have been received and not parsed yet."""

    def __init__(self) -> None:
        self._bytes = b""
        self._start = 0

    def __len__(self) -> int:
        return len(self._bytes) - self._start

    def append(self, received: bytes) -> None:
        """Add bytes that were received to the end."""
        parsed = self._bytes[max(0, self._start - _LOOK_BACK_BYTES) : self._start]
        self._bytes = parsed + self._bytes[self._start :] + received
        self._start = len(parsed)

    def take(self, *, at_most: int) -> memoryview:
        """Remove and return the next piece: up to the end of a CRLFCRLF, and at most `at_most` bytes."""
        found = self._bytes.find(_BLANK_LINE, max(0, self._start - _LOOK_BACK_BYTES))
        end = len(self._bytes) if found < 0 else found + len(_BLANK_LINE)
        piece = memoryview(self._bytes)[self._start : min(end, self._start + at_most)]
        self._start += len(piece)
        return piece

    def put_back(self, count: int) -> None:
        """Put the last `count` bytes of the last piece back, because the parser did not use them."""
        self._start -= count

    def clear(self) -> None:
        """Discard all bytes that are not parsed yet."""
        self._bytes, self._start = b"", 0
