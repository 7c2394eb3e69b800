"""Waiters for jobs whose results are sent to another process, in the decoder process."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from service.bus.answer_messages import Answer, Encoded, Failure, Picture
from service.bus.outbox import Outbox, Outgoing
from service.errors import CodecError
from service.render.jobs import Decoded


@dataclass(slots=True, kw_only=True, weakref_slot=True)
class MessageWaiter:
    """Sends the result or the error of a job to the worker that requested it. Only the job keeps a waiter alive."""

    worker: bytes
    number: int
    outbox: Outbox
    deadline_s: float = math.inf
    cancelled: bool = False

    @property
    def gone(self) -> bool:
        """Return whether the request was cancelled or its deadline has passed."""
        return self.cancelled or time.monotonic() > self.deadline_s

    def succeed(self, result: Decoded | bytes | None) -> None:
        """Queue the result to be sent to the worker."""
        if isinstance(result, Decoded):
            self._send(Picture(result.pixels, queue_s=result.queue_s, synthesis_s=result.synthesis_s))
        else:
            self._send(Encoded(result))

    def fail(self, error: CodecError) -> None:
        """Queue the error to be sent to the worker."""
        self._send(Failure.of(error))

    def _send(self, answer: Answer) -> None:
        if not self.cancelled:
            self.outbox.put(Outgoing(self.worker, self.number, answer))
