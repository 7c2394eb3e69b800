"""The access log: one JSON line for each sampled request, without delay for any request."""

import itertools
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.metrics.outcomes import Outcome
from service.store.embedded import EmbeddedValkey
from service.web.access_log import NOTES, WRITE_BYTES, AccessLog, Exchange
from service.web.request_id import choose_request_id
from service.web.responses import PictureResponse
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.server_process import serving

FRESH = {"Cache-Control": "max-age=600"}
LIMIT_S = 120
SCOPE = {"method": "GET", "path": "/image/cat", "client": ("192.0.2.1", 5), "headers": []}
WHOLE = PictureResponse(200, [(b"content-type", b"image/jpeg"), (b"cache-status", b"latentedge; hit")], b"12345")
FAILED = PictureResponse(502, [(b"content-type", b"application/problem+json")], b"12")


class Losses:
    def __init__(self) -> None:
        self.lines = 0

    def count_dropped_log_lines(self, lines: int) -> None:
        self.lines += lines


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        for end in (reading, writing):
            os.close(end)


def lines_of(share: float, replies: list[PictureResponse | None], draw: Callable[[], float] | None = None) -> list[Any]:
    """Return the lines that are logged for requests with these responses."""
    with pipe() as (reading, writing):
        log = AccessLog(share, file=writing, observer=Losses(), **({} if draw is None else {"draw": draw}))
        for number, reply in enumerate(replies):
            log.add(Exchange(dict(SCOPE), str(number)), reply)
        log.close()
        os.write(writing, b"end\n")
        with os.fdopen(os.dup(reading), encoding="utf-8") as read:
            return [json.loads(line) for line in itertools.takewhile(lambda line: line != "end\n", read)]


def test_a_line_describes_the_whole_request() -> None:
    with pipe() as (reading, writing):
        log = AccessLog(1, file=writing, observer=Losses())
        exchange = Exchange({**SCOPE, "path": '/image/a"\n\x1b\x7f\u2028é'}, "me-1", outcome=Outcome.HIT)
        exchange.facts.res = "high"
        exchange.timings.add("store", 0.001)
        exchange.timings.add("file", 0.002)
        exchange.timings.add("file", 0.002)
        log.add(exchange, WHOLE)
        log.close()
        raw = os.read(reading, 65536)
    assert raw.endswith(b"\n")
    assert re.fullmatch(rb"[\x20-\x7e]+\n", raw), "a control character is in the log"
    line = json.loads(raw)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line.pop("ms") > 0
    assert line == {
        "request_id": "me-1",
        "client": "192.0.2.1",
        "method": "GET",
        "id": 'a"\n\x1b\x7f\u2028é',
        "res": "high",
        "type": "image/jpeg",
        "status": 200,
        "cache": "hit",
        "cache_status": "latentedge; hit",
        "stages_ms": {"store": 1.0, "file": 4.0},
        "bytes": 5,
    }


def test_a_share_of_the_requests_and_every_error_is_logged() -> None:
    numbers = itertools.cycle([0.1, 0.9])
    written = lines_of(0.5, [WHOLE, WHOLE, WHOLE, WHOLE, FAILED, FAILED], lambda: next(numbers))
    assert [line["request_id"] for line in written] == ["0", "2", "4", "5"]
    assert lines_of(0, [WHOLE, FAILED, None]) == []
    (gone,) = lines_of(1, [None])
    assert (gone["status"], gone["cache"], gone["bytes"]) == (499, None, 0)


def test_a_slow_reader_loses_lines_and_delays_no_request() -> None:
    losses = Losses()
    reading, writing = os.pipe()
    log = AccessLog(1, file=writing, observer=losses)
    for number in range(2 * NOTES):  # the pipe holds some hundreds, and nobody reads
        log.add(Exchange(dict(SCOPE), str(number)), WHOLE)
    assert losses.lines > 0
    with os.fdopen(reading, "rb") as read, ThreadPoolExecutor(1) as threads:
        everything = threads.submit(read.read)
        log.close()
        os.close(writing)
        assert everything.result(LIMIT_S).count(b"\n") + losses.lines == 2 * NOTES


@pytest.mark.parametrize("character", ["a", '"', "é", "\U0001f600"])
def test_a_line_of_the_longest_id_is_written_at_once(character: str) -> None:
    """Linux writes up to WRITE_BYTES to a pipe atomically; longer writes of several workers may mix."""
    with pipe() as (reading, writing):
        log = AccessLog(1, file=writing, observer=Losses())
        log.add(Exchange({**SCOPE, "path": "/image/" + 10_000 * character}, "1"), WHOLE)
        log.close()
        line = os.read(reading, 65536)
    assert len(line) <= WRITE_BYTES
    assert re.fullmatch(f"({character})+", json.loads(line)["id"])


def test_lines_after_a_partial_write_count_as_dropped() -> None:
    """A full socket or disk may accept only a part of a write."""
    losses = Losses()
    reading, writing = socket.socketpair()
    with reading, writing:
        writing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel makes it its smallest
        writing.setblocking(False)
        log = AccessLog(1, file=writing.fileno(), observer=losses)
        for number in range(1000):
            log.add(Exchange(dict(SCOPE), str(number)), WHOLE)
        log.close()
        writing.close()
        with reading.makefile("rb") as read:
            assert read.read().count(b"\n") + losses.lines == 1000
    assert losses.lines > 0


def test_a_closed_reader_is_no_error() -> None:
    losses = Losses()
    reading, writing = os.pipe()
    os.close(reading)
    log = AccessLog(1, file=writing, observer=losses)
    log.add(Exchange(dict(SCOPE), "1"), WHOLE)
    log.close()
    os.close(writing)
    assert losses.lines == 1


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["trace-1"], True),
        (["Root=1-67891233-abcdef012345678912345678"], True),
        (["a" * 128], True),
        (["a" * 129], False),
        ([""], False),
        (["a b"], False),
        (['"a"'], False),
        (["a", "b"], False),
        ([], False),
    ],
)
def test_a_valid_request_id_is_kept(edge: RunningEdge, given: list[str], *, taken: bool) -> None:
    headers = [("X-Request-ID", one) for one in given]
    answered = [edge.get("/image/cat?res=none", headers=headers).headers["x-request-id"] for _ in range(2)]
    if taken:
        assert answered == given * 2
    else:
        assert answered[0] != answered[1]
        assert all(re.fullmatch("[0-9a-f]{32}", one) for one in answered)


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_a_request_id_can_always_be_sent_and_logged(values: list[bytes]) -> None:
    made = choose_request_id([(b"x-request-id", value) for value in values])
    assert re.fullmatch(r"[!-~]{1,128}", made)


def test_every_response_has_a_request_id(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    origin.script("/none", Reply(status=404))
    first = edge.get("/image/cat")
    tag = {"If-None-Match": first.headers["etag"]}
    answers: list[httpx.Response] = [first, edge.get("/image/cat", headers=tag), edge.get("/image/none")]
    assert [answer.status_code for answer in answers] == [200, 304, 404]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_an_edge_writes_its_log_to_stdout(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey: EmbeddedValkey, workers: int
) -> None:
    gone = Reply(photo, headers=FRESH, gate=threading.Event())
    origin.script("/cat", Reply(photo, headers=FRESH))
    origin.script("/bad", Reply(status=500))
    origin.script("/slow", gone)
    with serving(short_path, origin.url, workers=workers, redis_url=valkey.url, access_log=1) as server:
        for path in ("cat", "cat?res=medium", "bad", "../x"):
            server.get(f"/image/{path.replace('..', '%2e%2e')}")
        server.get("/livez")
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S) as client:
            client.sendall(b"GET /image/slow HTTP/1.1\r\nHost: edge\r\n\r\n")
            assert gone.arrived.wait(LIMIT_S)
        deadline = time.monotonic() + LIMIT_S
        while '"status": 499' not in server.stdout.read_text():
            assert time.monotonic() < deadline, "the client that has left is never given up"
        cast("threading.Event", gone.gate).set()
        server.parent.send_signal(signal.SIGTERM)
        assert server.parent.wait(LIMIT_S) == 0
        lines = [json.loads(line) for line in server.stdout.read_text().splitlines()]
    told = {(line["id"], line["res"], line["status"], line["cache"]) for line in lines}
    assert told >= {
        ("cat", "high", 200, "miss"),
        ("cat", "medium", 200, "hit"),
        ("bad", "high", 500, "error"),
        ("../x", "none", 400, "error"),
        ("slow", "high", 499, None),
    }
    assert len(lines) == 5, "one line for each picture, and none for anything else"
    hit = next(line for line in lines if line["cache"] == "hit")
    assert {"store", "queue", "entropy", "synthesis", "file"} <= hit["stages_ms"].keys()
    assert hit["bytes"] > 1000
    assert hit["cache_status"].startswith("latentedge; hit; ttl=")
