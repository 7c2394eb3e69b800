"""The HTTP/1.1 framing of requests before they are routed (RFC 9112), over raw sockets."""

import json
import re
import socket
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.rules.host import host_fault
from tests.service.small_server import SmallServer, request, small_server, statuses, until_closed

CLOSE = "Connection: close"
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")


@pytest.fixture(scope="module")
def server() -> Iterator[SmallServer]:
    with small_server() as running:
        yield running


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b@c/d\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",  # HTTP/0.9
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a client that speaks TLS
    ],
)
def test_an_invalid_request_is_refused_with_a_problem_document(server: SmallServer, sent: bytes) -> None:
    head, _, body = server.exchange(sent + request("/?later")).partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert statuses(head) == [400]  # RFC 9112 3.2 and 9112 3
    assert fields["connection"] == "close"
    assert fields["content-type"] == "application/problem+json"
    assert fields["cache-control"] == "no-store"
    assert parsedate_to_datetime(fields["date"]).year > 2000  # RFC 9110 6.6.1
    assert json.loads(body)["status"] == 400


def test_an_unknown_http_version_is_refused(server: SmallServer) -> None:
    for version in (b"2.0", b"3.0"):
        assert statuses(server.exchange(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)) == [505]  # RFC 9110 15.6.6


def test_a_higher_minor_version_is_read_as_the_highest_known(server: SmallServer) -> None:
    said = server.exchange(b"GET / HTTP/1.2\r\nHost: a\r\n\r\nGET / HTTP/1.9\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert statuses(said) == [200, 200]  # RFC 9110 2.5
    assert statuses(server.exchange(b"GET / HTTP/1.2\r\n\r\n")) == [400]  # Host is required, as in HTTP/1.1


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "gzip\r\nTransfer-Encoding: chunked"])
def test_an_unknown_transfer_coding_is_refused(server: SmallServer, coding: str) -> None:
    sent = request("/echo", f"Transfer-Encoding: {coding}", method="POST")
    assert statuses(server.exchange(sent + b"0\r\n\r\n")) == [501]  # RFC 9112 6.1


def test_the_name_of_a_transfer_coding_is_case_insensitive(server: SmallServer) -> None:
    sent = request("/echo", "Transfer-Encoding: Chunked", CLOSE, method="POST")
    assert statuses(server.exchange(sent + b"0\r\n\r\n")) == [200]


def test_a_refused_head_has_no_body(server: SmallServer) -> None:
    said = server.exchange(b"HEAD / HTTP/1.1\r\n\r\n")
    assert statuses(said) == [400]
    assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost:\r\n",
        b"GET / HTTP/1.1\r\nHost: \t edge.test:8080 \r\n",
        b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n",
        b"GET / HTTP/1.0\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: b\r\n",
        b"GET http://a HTTP/1.1\r\nHost: b\r\n",
        b"GET http://a?small HTTP/1.1\r\nHost: b\r\n",
    ],
)
def test_a_valid_request_is_answered(server: SmallServer, head: bytes) -> None:
    said = server.exchange(head + b"Connection: close\r\n\r\n")
    assert statuses(said) == [200]
    assert said.endswith(b"\r\n\r\nsmall")


@pytest.mark.parametrize(
    "host", [b"a b", b"a/b", b"a@b", b"a:b", b"a:80:81", b"[::1", b"::1", b"a%zz", b"\xe9", b"a,b", b"x" * 513]
)
def test_impossible_hosts(host: bytes) -> None:
    assert bool(host_fault([host], version="1.1")) is (host != b"a,b")  # RFC 3986 3.2.2 lets a name hold commas


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_more_than_one_host_is_refused(lines: list[bytes]) -> None:
    assert bool(host_fault(lines, version="1.1")) or len(lines) == 1


def test_a_request_after_an_upgrade_is_answered(server: SmallServer) -> None:
    """RFC 9110 7.8: a server may ignore Upgrade and continue with HTTP/1.1."""
    sent = request("/?first", *H2C) + request("/?second", *H2C) + request("/?third", CLOSE)
    said = server.exchange(sent)
    assert statuses(said) == [200, 200, 200]
    assert [word in said for word in (b"first", b"second", b"third")] == [True] * 3


@pytest.mark.parametrize("framing", ["Content-Length: 33", "Transfer-Encoding: chunked"])
def test_a_body_is_never_taken_for_a_request(server: SmallServer, framing: str) -> None:
    """The parser would read the body that comes with Upgrade as the next request, which a proxy in front never sent."""
    upgrade = request("/echo", *H2C, framing, method="POST")
    assert statuses(server.exchange(upgrade + request("/?smuggled"))) == [400]


@pytest.mark.parametrize("count", [1, 3])
def test_a_half_closed_client_is_answered(server: SmallServer, count: int) -> None:
    with server.connect() as client:
        client.sendall(request("/") * count)
        client.shutdown(socket.SHUT_WR)
        assert statuses(until_closed(client)) == [200] * count


def test_a_client_that_half_closes_while_it_waits_is_answered() -> None:
    with small_server() as server, server.connect() as client:
        client.sendall(request("/held"))
        assert server.gate.arrived.acquire(timeout=60)
        client.shutdown(socket.SHUT_WR)
        server.gate.opened.set()
        assert until_closed(client).endswith(b"held")


def test_the_request_of_a_half_closed_client_is_cancelled_after_a_while() -> None:
    """The server cannot tell a half-closed client from a disconnected one, so the request runs for a short time."""
    with small_server() as server:
        with server.connect() as client:
            client.sendall(request("/held"))
            assert server.gate.arrived.acquire(timeout=60)
        assert server.gate.left.wait(60)


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
def test_a_client_that_half_closes_without_a_request_is_disconnected(server: SmallServer, sent: bytes) -> None:
    with server.connect() as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert until_closed(client) == b""


def test_a_damaged_body_ends_the_request_that_waits_for_it(server: SmallServer) -> None:
    with server.connect() as client:
        client.sendall(request("/echo", "Transfer-Encoding: chunked", method="POST"))
        client.sendall(b"zz\r\n")
        assert statuses(until_closed(client)) == [400]


def test_a_malformed_request_does_not_disturb_the_one_before() -> None:
    with small_server() as server, server.connect() as client:
        client.sendall(request("/held") + b"\0\0\0\0\r\n\r\n")
        assert server.gate.arrived.acquire(timeout=60)
        server.gate.opened.set()
        assert re.fullmatch(rb"HTTP/1.1 200 .*heldHTTP/1.1 400 .*", until_closed(client), re.DOTALL)
