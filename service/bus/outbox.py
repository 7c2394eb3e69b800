"""A thread-safe queue of answers, which the codec's thread fills and the thread of the router's socket empties."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from dataclasses import dataclass

from service.bus.answer_messages import Answer


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An answer to send: the zmq identity of the worker, the number of its request, and the answer."""

    worker: bytes
    number: int
    answer: Answer


class Outbox:
    """A queue of answers with a file descriptor to poll. Several answers of one batch wake the polling thread once."""

    def __init__(self) -> None:
        self._answers: deque[Outgoing] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return the file descriptor, which becomes readable when there are answers."""
        return self._reader.fileno()

    def put(self, outgoing: Outgoing) -> None:
        """Add an answer, from any thread."""
        self._answers.append(outgoing)
        self.wake()

    def wake(self) -> None:
        """Wake the thread that polls this queue, from any thread."""
        with contextlib.suppress(BlockingIOError, OSError):  # that thread was woken before, or the queue is closed
            self._writer.send(b"\0")

    def take(self) -> list[Outgoing]:
        """Remove and return all answers. Only the thread that polls may call this."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)  # before the answers are removed, so that a later answer wakes the poll again
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._answers.popleft())
        return taken

    def close(self) -> None:
        """Close the queue. No thread may poll it any more."""
        self._reader.close()
        self._writer.close()
