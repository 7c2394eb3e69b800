"""Greedy clients: requests are limited in size, and pipelined requests wait."""

import socket

import pytest

from tests.service.small_server import one_answer, request, small_server, statuses, until_closed

HEADER_BYTES = 16_384
FIELDS = 20
LONG = b"x" * 100_000
CHUNKED = request("/echo", "Transfer-Encoding: chunked", method="POST")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: edge\r\nX: " + LONG, 431),  # RFC 6585 5
        (b"GET / HTTP/1.1\r\nHost: edge\r\n" + LONG, 431),
        (b"GET / HTTP/1.1\r\nHost: edge\r\nX: " + b"x" * HEADER_BYTES + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: edge\r\n" + b"a: b\r\n" * 10_000, 431),
        (b"GET / HTTP/1.1\r\nHost: edge\r\n" + b"a: b\r\n" * FIELDS + b"\r\n", 431),
        (b"\r\n" * 10_000, 431),
        (b"GET /" + LONG, 414),  # RFC 9110 15.5.15
        (b"GET /?" + b"x" * 8192 + b" HTTP/1.1\r\nHost: edge\r\n\r\n", 414),
        (request("/echo", f"Content-Length: {len(LONG)}", method="POST") + LONG, 413),
        (CHUNKED + b"%x\r\n" % len(LONG) + LONG, 413),
        (CHUNKED + b"0\r\n" + b"a: b\r\n" * 20_000, 413),
        (CHUNKED + b"1\r\nx\r\n" * 20_000, 413),
    ],
)
def test_a_request_that_is_too_large_is_refused(sent: bytes, status: int) -> None:
    with small_server(header_bytes=HEADER_BYTES, header_fields=FIELDS) as server:
        said = server.exchange(sent)
        assert statuses(said) == [status]
        assert b"\r\ncontent-type: application/problem+json\r\n" in said
        assert b"\r\ncache-control: no-store\r\n" in said
        assert server.count(f'edge_requests_refused_total{{status="{status}"}}') == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: edge\r\n" + b"a: b\r\n" * (FIELDS - 2) + b"Connection: close\r\n\r\n",
        b"GET /?" + b"x" * 8190 + b" HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n",
        request("/echo", "Content-Length: 65536", "Connection: close", method="POST") + b"x" * 65_536,
    ],
)
def test_the_largest_request_is_accepted(sent: bytes) -> None:
    with small_server(header_bytes=HEADER_BYTES, header_fields=FIELDS) as server:
        assert statuses(server.exchange(sent)) == [200]


def test_a_client_that_continues_to_send_can_read_the_error() -> None:
    """An immediate close would reset the connection, and the error response would be lost."""
    with small_server(header_bytes=HEADER_BYTES) as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(200):
            client.sendall(b"a: b\r\n" * 1_000)
        client.shutdown(socket.SHUT_WR)
        assert statuses(until_closed(client)) == [431]


def test_pipelined_requests_wait_unparsed() -> None:
    with small_server() as server, server.connect() as client:
        client.sendall(request("/held") + request("/") * 2_000)
        assert server.gate.arrived.acquire(timeout=60)
        (connection,) = server.connections
        assert not connection.pipeline
        server.gate.opened.set()
        client.shutdown(socket.SHUT_WR)
        assert statuses(until_closed(client)) == [200] * 2_001


def test_pipelined_bytes_are_read_up_to_a_limit() -> None:
    """While a request is being answered, TCP flow control stops the client after a limit."""
    with small_server() as server, server.connect() as client:
        client.sendall(request("/held"))
        assert server.gate.arrived.acquire(timeout=60)
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            client.sendall(request("/") * 2_000_000)
        server.gate.opened.set()


def test_pipelined_requests_are_answered_in_order() -> None:
    with small_server() as server:
        paths = [f"/?{number}" for number in range(50)]
        bodies = [request("/echo", "Content-Length: 27", method="POST") + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] * 2
        sent = b"".join([*bodies, *map(request, paths), request("/", "Connection: close"), request("/?after")])
        said = server.exchange(sent)
        answers = [part.rpartition(b"\r\n\r\n")[2] for part in said.split(b"HTTP/1.1 200 OK")[1:]]
        assert answers == [b""] * 2 + [path.removeprefix("/?").encode() for path in paths] + [b"small"]


def test_a_trailer_field_does_not_become_a_header_field() -> None:
    """RFC 9110 6.5.1: trailer fields must not be merged into the header."""
    with small_server() as server, server.connect() as client:
        client.sendall(CHUNKED + b"3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n")
        assert one_answer(client).endswith(b"\r\n\r\nabc")
        (connection,) = server.connections
        assert b"x-late" not in dict(connection.scope["headers"])
