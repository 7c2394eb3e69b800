"""Responses keep the order of the requests (RFC 9112 9.3.2), also if a later request is refused or unfinished."""

import logging
import socket

import pytest

from service.serving.http_connection import CONTINUE
from tests.service.small_server import SmallServer, one_answer, request, small_server, statuses, until_closed

SOON_S = 0.4
FIRST_BODIES = [
    pytest.param(request("/held", "Content-Length: 5") + b"abcde", id="by length"),
    pytest.param(request("/held", "Transfer-Encoding: chunked") + b"5\r\nabcde\r\n0\r\n\r\n", id="chunked"),
    pytest.param(request("/held", "Transfer-Encoding: chunked") + b"0\r\nTrailer: a\r\n\r\n", id="trailer"),
]
REFUSED = [
    pytest.param(request("/", "Transfer-Encoding: chunked") + b"ZZ", 400, id="chunk size"),
    pytest.param(request("/", "Content-Length: 99999") + b"x" * 70_000, 413, id="length"),
    pytest.param(request("/", "Transfer-Encoding: chunked") + b"11171\r\n" + b"x" * 70_000, 413, id="chunks"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, id="host"),
    pytest.param(b"\0\1garbage\r\n\r\n", 400, id="garbage"),
    pytest.param(request("/echo", "Content-Length: 5", method="POST") + b"ab", 408, id="slow body"),
]


def exchange_held(server: SmallServer, sent: bytes, *, half_closed: bool = False) -> bytes:
    """Send all these bytes, hold the first answer until the server has read them, and return all answers."""
    with server.connect() as client:
        client.sendall(sent)
        if half_closed:
            client.shutdown(socket.SHUT_WR)
        assert server.gate.arrived.acquire(timeout=60)
        with server.connect() as other:  # its timeout ends after that of the refused request
            until_closed(other)
        server.gate.opened.set()
        return until_closed(client)


@pytest.mark.parametrize("first", FIRST_BODIES)
@pytest.mark.parametrize(("second", "status"), REFUSED)
def test_a_refusal_waits_for_the_response_before(
    first: bytes, second: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with small_server(request_timeout_s=SOON_S) as server:
        said = exchange_held(server, first + second)
    assert statuses(said) == [200, status]
    assert b"\r\n\r\nheldHTTP/1.1 " in said
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize("first", FIRST_BODIES)
def test_a_whole_request_is_answered_if_the_client_half_closes_within_the_next(
    first: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with small_server(request_timeout_s=SOON_S) as server:
        said = exchange_held(server, first + request("/", "Content-Length: 5") + b"ab", half_closed=True)
    assert statuses(said) == [200]
    assert said.endswith(b"held")
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize("first", FIRST_BODIES)
@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 1000])
def test_the_end_of_a_body_is_found_in_every_split(first: bytes, piece_bytes: int) -> None:
    with small_server() as server, server.connect() as client:
        server.gate.opened.set()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = first * 2 + request("/?last", "Connection: close")
        for start in range(0, len(sent), piece_bytes):
            client.sendall(sent[start : start + piece_bytes])
        said = until_closed(client)
        assert statuses(said) == [200, 200, 200]
        assert said.endswith(b"last")


@pytest.mark.parametrize(
    "bad", [b"ZZ\r\n", b"11171\r\n" + b"x" * 70_000, b""], ids=["chunk size", "too large", "half-closed"]
)
def test_a_refused_or_unfinished_body_is_not_logged_as_an_exception(
    bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with small_server() as server, server.connect() as client:
        client.sendall(request("/echo", "Transfer-Encoding: chunked", method="POST"))
        assert statuses(server.exchange(request("/", "Connection: close"))) == [200]  # the application waits for a body
        client.sendall(bad)
        client.shutdown(socket.SHUT_WR)
        assert statuses(until_closed(client)) == [400 if bad.startswith(b"ZZ") else 413] * bool(bad)
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize("waits", [False, True], ids=["body at once", "body after 100"])
@pytest.mark.parametrize("path", ["/", "/echo"], ids=["body ignored", "body read"])
def test_a_request_after_an_expectation_is_answered(path: str, *, waits: bool) -> None:
    """RFC 9110 10.1.1: a client that gets no 100 may send no body, and the next request would be taken for it."""
    method = "POST" if path == "/echo" else "GET"
    with small_server() as server, server.connect() as client:
        client.sendall(request(path, "Expect: 100-continue", "Content-Length: 50", method=method))
        if waits:
            assert client.recv(len(CONTINUE), socket.MSG_WAITALL) == CONTINUE
        client.sendall(b"x" * 50 + request("/?next", "Connection: close"))
        said = until_closed(client)
    assert statuses(said) == [100] * (not waits) + [200, 200]
    assert said.endswith(b"next")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(request("/", "Expect: 100-continue", "Content-Length: 99999"), 413, id="too large"),
        pytest.param(request("/", "Expect: 100-continue", "Host: second", "Content-Length: 5"), 400, id="two hosts"),
        pytest.param(request("/", "Expect: 100-continue", "Connection: close"), 200, id="no body"),
        pytest.param(
            b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde", 200, id="HTTP/1.0"
        ),
    ],
)
def test_an_expectation_is_not_met(head: bytes, status: int) -> None:
    with small_server() as server:
        assert statuses(server.exchange(head)) == [status]


@pytest.mark.parametrize("later", [b"", request("/?next")], ids=["alone", "with a next request"])
def test_close_in_a_trailer_closes_the_connection_after_the_response(later: bytes) -> None:
    with small_server() as server, server.connect() as client:
        client.sendall(request("/", "Transfer-Encoding: chunked") + b"0\r\nConnection: close\r\n\r\n" + later)
        assert statuses(until_closed(client)) == [200]


def test_close_in_a_trailer_after_the_response_closes_the_connection() -> None:
    with small_server() as server, server.connect() as client:
        client.sendall(request("/", "Transfer-Encoding: chunked"))
        assert statuses(one_answer(client)) == [200]
        client.sendall(b"0\r\nConnection: close\r\n\r\n")
        assert until_closed(client) == b""
