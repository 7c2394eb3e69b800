"""Slow clients: each wait for a client has a timeout, and slow clients do not block others."""

import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.service.small_server import (
    LARGE,
    ask,
    one_answer,
    request,
    sent_in_turn,
    small_server,
    statuses,
    until_closed,
)

SOON_S = 0.4
CUT = "edge_connections_cut_total"


def test_a_connection_without_a_request_is_closed() -> None:
    with small_server(request_timeout_s=SOON_S) as server, server.connect() as client:
        assert until_closed(client) == b""
        assert server.count(CUT + '{reason="request_timeout"}') == 1


@pytest.mark.parametrize(
    "part",
    [
        b"G",
        b"GET / HTTP/1.1\r\nHost: edge\r\n",
        b"POST /echo HTTP/1.1\r\nHost: edge\r\nContent-Length: 9\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ],
)
def test_an_unfinished_request_is_answered_with_408(part: bytes) -> None:
    with small_server(request_timeout_s=SOON_S) as server:
        said = server.exchange(part)
        assert statuses(said) == [408]  # RFC 9110 15.5.9
        assert b"\r\nconnection: close\r\n" in said
        assert b'"status": 408' in said
        assert server.count(CUT + '{reason="request_timeout"}') == 1


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
        (b"", b"\r\n"),
        (request("/echo", "Content-Length: 900", method="POST"), b"x"),
    ],
)
def test_single_bytes_do_not_extend_the_request_timeout(start: bytes, drop: bytes) -> None:
    with small_server(request_timeout_s=SOON_S) as server, server.connect() as client:
        client.sendall(start)
        assert statuses(sent_in_turn(client, [drop] * 90)) in ([408], [])


def test_a_second_request_has_the_same_timeout() -> None:
    with small_server(request_timeout_s=SOON_S) as server, server.connect() as client:
        assert statuses(ask(client, "/")) == [200]
        client.sendall(b"GET / HTT")
        assert statuses(until_closed(client)) == [408]


def test_a_body_after_its_response_has_the_same_timeout() -> None:
    with small_server(request_timeout_s=SOON_S) as server, server.connect() as client:
        client.sendall(request("/", "Content-Length: 9"))
        assert statuses(one_answer(client)) == [200]
        assert until_closed(client) == b""  # a second answer would belong to no request


def test_an_idle_connection_is_closed_without_a_response() -> None:
    with small_server(idle_timeout_s=SOON_S) as server, server.connect() as client:
        assert statuses(ask(client, "/")) == [200]
        client.sendall(b"\r\n")  # RFC 9112 2.2 lets a client send it; it begins no request
        assert until_closed(client) == b""


def test_client_timeouts_do_not_cut_a_slow_response() -> None:
    limits = {"request_timeout_s": 0.1, "idle_timeout_s": 0.1, "send_timeout_s": 0.1}
    with small_server(**limits) as server, server.connect() as client:
        client.sendall(request("/held"))
        assert server.gate.arrived.acquire(timeout=60)
        for _ in range(3):  # each exceeds the same time; three of them take three times as long
            with server.connect() as silent:
                until_closed(silent)
        server.gate.opened.set()
        assert statuses(one_answer(client)) == [200]


def test_a_client_that_reads_nothing_is_disconnected() -> None:
    with small_server(send_timeout_s=SOON_S) as server, server.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request("/large") * 30)
        server.wait_for(CUT + '{reason="send_timeout"}', 1)
        assert statuses(server.exchange(request("/", "Connection: close"))) == [200]
        assert not [one for one in server.connections if one.transport.get_write_buffer_size()]


def test_a_client_that_reads_slowly_gets_the_whole_response() -> None:
    """Between two reads another connection exceeds its time; in sum they take longer than it may read nothing."""
    with small_server(send_timeout_s=3.0, request_timeout_s=1.0) as server, server.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.sendall(request("/large", "Connection: close"))
        said = b""
        for _ in range(4):
            said += client.recv(300_000)
            with server.connect() as silent:
                until_closed(silent)
        said += until_closed(client)
        assert said.endswith(LARGE.encode()), "a part is missing"


def test_slow_clients_do_not_block_other_clients(caplog: pytest.LogCaptureFixture) -> None:
    with small_server(connections=4) as server, ExitStack() as closing:
        slow = []
        for _ in range(6):  # two more than there is room for
            slow.append(closing.enter_context(server.connect()))
            slow[-1].sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(3):
            assert statuses(server.exchange(request("/", "Connection: close"))) == [200]
        assert until_closed(slow[0]) == b""  # the one that has waited longest
        assert server.count(CUT + '{reason="too_many"}') >= 3
        assert server.count('edge_connections_not_accepted_total{reason="too_many"}') >= 3
    lines = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(lines) == 1, "one line a minute"
    assert "4 connections are open, which is the limit (EDGE_CONNECTIONS, `ulimit -n`)" in lines[0].getMessage()


def test_idle_connections_are_evicted_and_responses_are_not() -> None:
    with small_server(connections=2) as server, server.connect() as busy, server.connect() as idle:
        busy.sendall(request("/held"))
        assert server.gate.arrived.acquire(timeout=60)
        assert statuses(ask(idle, "/")) == [200]
        assert statuses(server.exchange(request("/", "Connection: close"))) == [200]
        assert until_closed(idle) == b""
        server.gate.opened.set()
        assert statuses(one_answer(busy)) == [200]


def test_new_clients_wait_while_every_connection_has_a_request() -> None:
    with small_server(connections=1) as server, server.connect() as busy:
        busy.sendall(request("/held"))
        assert server.gate.arrived.acquire(timeout=60)
        with server.connect() as waiting:
            waiting.sendall(request("/"))
            server.gate.opened.set()
            assert statuses(one_answer(busy)) == [200]
            assert statuses(one_answer(waiting)) == [200]


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Use up all file descriptors of this process during the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_client_waits_while_there_is_no_file_descriptor(caplog: pytest.LogCaptureFixture) -> None:
    with small_server() as server, server.connect() as other, socket.socket() as client:
        assert statuses(ask(other, "/")) == [200]
        client.settimeout(60)
        with no_more_descriptors():
            client.connect(("127.0.0.1", server.port))
            client.sendall(request("/"))
            while not server.count('edge_connections_not_accepted_total{reason="no_descriptors"}'):
                pass
        assert statuses(one_answer(client)) == [200]
        assert until_closed(other) == b""  # it was idle, so it made room
    of_the_server = [
        one for one in caplog.records if one.name.startswith("service.serving")
    ]  # others share the process
    assert [one.levelno for one in of_the_server] == [logging.WARNING]
    assert "Too many open files; see `ulimit -n`" in caplog.text
