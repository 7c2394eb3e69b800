"""Write one JSON line on stdout for each sampled request. Has no influence on the response.

The event loop only queues the values of a line (a note). A thread collects notes for a tenth of a second and writes
them as lines. If the reader of stdout is too slow, lines are dropped and counted; no request waits for the log.
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
from service.web.questions import LATENTS, PICTURES, RequestFacts
from service.web.responses import PictureResponse

CLIENT_GONE = 499
"""The status in the log if the client disconnected before the response. nginx writes the same."""
NOTES = 10_000  # the maximum number of notes in the queue (assumed): some seconds of a busy edge, and some megabytes
COLLECT_S = 0.1  # seconds for which notes are collected before they are written together (assumed)
CLOSE_TIMEOUT_S = 2.0  # the longest wait at shutdown until the reader of stdout has taken the last lines (assumed)
ID_CAP_BYTES = 2048  # the longest image id in a line (assumed): 512 characters, most of them unescaped in JSON
# PIPE_BUF of Linux: a write of up to this many bytes to a pipe is atomic, so lines of several workers do not mix.
WRITE_BYTES = 4096


@dataclass(slots=True)
class Exchange:
    """One request, and what is known about its answer so far, for the metrics and the access log."""

    scope: Scope
    request_id: str
    facts: RequestFacts = field(default_factory=RequestFacts)
    timings: Timings = field(default_factory=Timings)
    outcome: Outcome | None = None
    began_s: float = field(default_factory=time.time)
    """When the request began, in seconds since 1970, for the log."""
    started_s: float = field(default_factory=time.perf_counter)
    """When the request began on the monotonic clock, for durations."""

    @property
    def seconds(self) -> float:
        """The seconds since the request began."""
        return time.perf_counter() - self.started_s


@dataclass(frozen=True, slots=True)
class _Note:
    """The values of one line of the log. A note holds no reference to the picture, so that its memory can be freed."""

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
    """Receives the metrics of the access log."""

    def count_dropped_log_lines(self, lines: int) -> None:
        """Count lines of the access log that were dropped."""


class AccessLog:
    """The access log of one worker. It logs `share` (0 to 1) of all requests, and every 5xx unless `share` is 0."""

    def __init__(
        self, share: float, *, file: int, observer: Observer, draw: Callable[[], float] = random.random
    ) -> None:
        self._share = share
        self._file = file
        self._observer = observer
        self._draw = draw
        self._notes: queue.SimpleQueue[_Note | None] = queue.SimpleQueue()
        # A daemon thread, which does not keep the process alive: its write may block for ever if nothing reads stdout.
        self._writer = threading.Thread(target=self._write_lines, name="access-log", daemon=True)
        if share:
            self._writer.start()

    def add(self, exchange: Exchange, response: PictureResponse | None) -> None:
        """Log a request if it is sampled. `response` is None if the client disconnected before its response."""
        status = CLIENT_GONE if response is None else response.status
        if not self._share or (status < 500 and self._draw() >= self._share):  # noqa: PLR2004  (RFC 9110 15.6)
            return
        if self._notes.qsize() >= NOTES:
            self._observer.count_dropped_log_lines(1)
            return
        self._notes.put(_make_note(exchange, response, status))

    def close(self) -> None:
        """Wait until all queued notes are written, but at most CLOSE_TIMEOUT_S, because stdout may be blocked."""
        if self._writer.is_alive():
            self._notes.put(None)
            self._writer.join(CLOSE_TIMEOUT_S)

    # The methods below run on the thread that writes the log.

    def _write_lines(self) -> None:
        more = True
        while more:
            notes = [self._notes.get()]
            if notes[0] is not None:
                time.sleep(COLLECT_S)
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
        except OSError:  # the reader has closed the pipe, or the disk is full
            self._observer.count_dropped_log_lines(bytes(rest).count(b"\n"))


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines into blocks of at most WRITE_BYTES, each for one write. A longer line is a block of its own."""
    block = b""
    for line in lines:
        if block and len(block) + len(line) > WRITE_BYTES:
            yield block
            block = b""
        block += line
    if block:
        yield block


def _make_note(exchange: Exchange, response: PictureResponse | None, status: int) -> _Note:
    scope = exchange.scope
    client = scope.get("client")
    return _Note(
        began_s=exchange.began_s,
        request_id=exchange.request_id,
        client=client[0] if client else None,
        method=scope["method"],
        image_id=_cap_id(scope["path"].removeprefix(PICTURES).removeprefix(LATENTS)),
        res=exchange.facts.res,
        fields={} if response is None else dict(response.headers),
        status=int(status),
        outcome=exchange.outcome,
        seconds=exchange.seconds,
        timings=exchange.timings,
        sent_bytes=0 if response is None else len(response.body or b""),
    )


def _cap_id(image_id: str) -> str:
    """Shorten an image id so that it takes at most ID_CAP_BYTES in JSON, where an emoji takes 12 bytes."""
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
    # json.dumps escapes all control characters except DEL.
    return json.dumps(entry).replace("\x7f", "\\u007f").encode("ascii") + b"\n"


def _stages_ms(timings: Timings) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for stage in timings.stages:
        sums[stage.name] += stage.seconds * 1000
    return {name: round(ms, 2) for name, ms in sums.items()}
