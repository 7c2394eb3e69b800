"""Writes one JSON line on stdout for a request and its answer. Decides nothing about the answer.

The event loop only queues a note. A thread gathers the notes of a tenth of a second and writes them as lines. If stdout
is read too slowly, lines are dropped and counted; no picture waits for the log.
"""

from __future__ import annotations

import json
import os
import queue
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from typing import Protocol

from starlette.types import Scope

from service.metrics.outcomes import Outcome
from service.metrics.timings import Timings
from service.web.questions import LATENTS, PICTURES, Told
from service.web.responses import PictureResponse

CLIENT_GONE = 499
"""The client left before its answer: nginx's status for it, which log readers know."""
NOTES = 10_000  # assumed: seconds of a busy edge, some megabytes
GATHERING_S = 0.1  # assumed: nobody reads a log faster
CLOSING_S = 2.0
ID_CAP_BYTES = 2048  # assumed: an id of 512 characters, most of which JSON writes as they are
# PIPE_BUF of Linux: a pipe takes this much at once or not at all, so that the lines of several workers do not mix.
WRITE_BYTES = 4096


@dataclass(slots=True)
class Exchange:
    """One request, and what is known of it so far."""

    scope: Scope
    request_id: str
    told: Told = field(default_factory=Told)
    timings: Timings = field(default_factory=Timings)
    outcome: Outcome | None = None
    began_s: float = field(default_factory=time.time)
    started_s: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.perf_counter() - self.started_s


@dataclass(frozen=True, slots=True)
class _Note:
    """The values of one line. It keeps no picture alive while it waits."""

    began_s: float
    request_id: str
    client: str | None
    method: str
    image_id: str
    res: str
    fields: dict[bytes, bytes]
    status: int
    outcome: Outcome | None
    seconds: float
    timings: Timings
    sent_bytes: int


class Observer(Protocol):
    """Counts the lines that are lost."""

    def count_dropped_log_lines(self, lines: int) -> None:
        """Count lines that were not written."""


class AccessLog:
    """The log of one worker. A share of 0 turns it off; otherwise every 5xx is in it."""

    def __init__(
        self, share: float, *, file: int, observer: Observer, draw: Callable[[], float] = random.random
    ) -> None:
        self._share = share
        self._file = file
        self._observer = observer
        self._draw = draw
        self._notes: queue.SimpleQueue[_Note | None] = queue.SimpleQueue()
        # A daemon, because it may wait for ever for a reader of stdout.
        self._writer = threading.Thread(target=self._write, name="access-log", daemon=True)
        if share:
            self._writer.start()

    def ended(self, exchange: Exchange, reply: PictureResponse | None) -> None:
        """Log a request with its response; None means that the client left before it."""
        status = CLIENT_GONE if reply is None else reply.status
        if not self._share or (status < 500 and self._draw() >= self._share):  # noqa: PLR2004  (RFC 9110 15.6)
            return
        if self._notes.qsize() >= NOTES:
            self._observer.count_dropped_log_lines(1)
            return
        self._notes.put(_noted(exchange, reply, status))

    def close(self) -> None:
        """Write the notes that are queued, as long as stdout is read."""
        if self._writer.is_alive():
            self._notes.put(None)
            self._writer.join(CLOSING_S)

    # From here on, everything runs on the writer's thread.

    def _write(self) -> None:
        more = True
        while more:
            notes = [self._notes.get()]
            if notes[0] is not None:
                time.sleep(GATHERING_S)
            while not self._notes.empty():
                notes.append(self._notes.get())
            more = None not in notes
            for block in _blocks(_line(note) for note in notes if note is not None):
                self._write_block(block)

    def _write_block(self, block: bytes) -> None:
        rest = memoryview(block)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:  # nobody reads it any more, or the disk is full
            self._observer.count_dropped_log_lines(bytes(rest).count(b"\n"))


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield blocks of whole lines; each block is written at once."""
    block = b""
    for line in lines:
        if block and len(block) + len(line) > WRITE_BYTES:
            yield block
            block = b""
        block += line
    if block:
        yield block


def _noted(exchange: Exchange, reply: PictureResponse | None, status: int) -> _Note:
    scope = exchange.scope
    client = scope.get("client")
    return _Note(
        began_s=exchange.began_s,
        request_id=exchange.request_id,
        client=client[0] if client else None,
        method=scope["method"],
        image_id=_capped(scope["path"].removeprefix(PICTURES).removeprefix(LATENTS)),
        res=exchange.told.res,
        fields={} if reply is None else dict(reply.headers),
        status=int(status),
        outcome=exchange.outcome,
        seconds=exchange.seconds,
        timings=exchange.timings,
        sent_bytes=0 if reply is None else len(reply.body or b""),
    )


def _capped(image_id: str) -> str:
    """Return as much of an id as takes ID_CAP_BYTES in JSON, which writes an emoji in 12 bytes."""
    ends = accumulate(len(json.dumps(character)) - 2 for character in image_id)
    return image_id[: sum(end <= ID_CAP_BYTES for end in ends)]


def _line(note: _Note) -> bytes:
    entry = {
        "time": datetime.fromtimestamp(note.began_s, UTC).isoformat(timespec="milliseconds"),
        "request_id": note.request_id,
        "client": note.client,
        "method": note.method,
        "id": note.image_id,
        "res": note.res,
        "type": note.fields.get(b"content-type", b"").decode("latin-1") or None,
        "status": note.status,
        "cache": None if note.outcome is None else note.outcome.value,
        "cache_status": note.fields.get(b"cache-status", b"").decode("latin-1") or None,
        "ms": round(note.seconds * 1000, 2),
        "stages_ms": _stages_ms(note.timings),
        "bytes": note.sent_bytes,
    }
    # JSON escapes control characters, but not this one.
    return json.dumps(entry).replace("\x7f", "\\u007f").encode("ascii") + b"\n"


def _stages_ms(timings: Timings) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for stage in timings.stages:
        sums[stage.name] += stage.seconds * 1000
    return {name: round(ms, 2) for name, ms in sums.items()}
