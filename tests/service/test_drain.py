"""Graceful shutdown: SIGTERM ends readiness at once, work in progress is finished, and a time limit cuts the rest."""

import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import redis

from service.records.record import record_key
from service.serving.drain import Drain
from service.store.embedded import EmbeddedValkey
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.server_process import Server, serving

FRESH = {"Cache-Control": "max-age=600"}
LIMIT_S = 60


def slow(photo: bytes) -> Reply:
    return Reply(photo, headers=FRESH, gate=threading.Event())


def release(reply: Reply) -> None:
    assert reply.gate is not None
    reply.gate.set()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S)


def ask(client: socket.socket, path: str) -> None:
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: edge\r\n\r\n".encode())


def answer(client: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection."""
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


def wait_until_closed(server: Server) -> None:
    """Wait until the server accepts no new connection."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            connect(server).close()
        except (ConnectionRefusedError, ConnectionResetError):  # reset: the server closed its socket during the attempt
            return
    pytest.fail("the server still accepts connections")


def test_the_time_limit_runs_from_the_stop_not_from_a_question_about_it() -> None:
    now_s = 100.0
    drain = Drain(delay_s=0, limit_s=30, clock=lambda: now_s)
    assert drain.left_s() == 30
    now_s += 1000
    assert drain.left_s() == 30
    drain.note_stop()
    now_s += 10
    drain.note_stop()  # a second signal gives no more time
    assert drain.left_s() == 20
    now_s += 40
    assert drain.left_s() == 0


def wait_for_exit(server: Server) -> int:
    return server.parent.wait(LIMIT_S)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_under_way_is_answered_and_stored(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey: EmbeddedValkey, workers: int
) -> None:
    reply = slow(photo)
    origin.script("/slow", reply)
    with serving(short_path, origin.url, workers=workers, redis_url=valkey.url) as server, connect(server) as client:
        ask(client, "/image/slow?res=medium")
        assert reply.arrived.wait(LIMIT_S)
        server.parent.send_signal(signal.SIGTERM)
        wait_until_closed(server)
        release(reply)
        said = answer(client)
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close" in said
        assert b"; stored;" in said
        assert wait_for_exit(server) == 0
    with redis.Redis.from_url(valkey.url) as store:
        assert store.exists(record_key("slow", origin=origin.url))


def test_a_fill_is_stored_although_its_client_has_disconnected(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey: EmbeddedValkey
) -> None:
    reply = slow(photo)
    origin.script("/slow", reply)
    with serving(short_path, origin.url, redis_url=valkey.url) as server:
        with connect(server) as client:
            ask(client, "/image/slow")
            assert reply.arrived.wait(LIMIT_S)
        server.parent.send_signal(signal.SIGTERM)
        server.wait_until_said("Waiting for application shutdown")
        release(reply)
        assert wait_for_exit(server) == 0
    with redis.Redis.from_url(valkey.url) as store:
        assert store.exists(record_key("slow", origin=origin.url))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_beyond_the_time_limit_gets_503(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, workers: int, valkey_program: None
) -> None:
    """The embedded store must leave no files behind."""
    _ = valkey_program
    reply = slow(photo)
    origin.script("/slow", reply)
    with serving(short_path, origin.url, workers=workers, drain_s=1) as server, connect(server) as client:
        ask(client, "/image/slow")
        assert reply.arrived.wait(LIMIT_S)
        server.parent.send_signal(signal.SIGTERM)
        said = answer(client)
        assert said.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"retry-after: 1" in said
        assert wait_for_exit(server) == 0
        release(reply)
    assert not list(short_path.glob("latentedge-*")), "something was left behind"


@pytest.mark.parametrize("workers", [1, 2])
def test_during_the_drain_delay_the_edge_is_not_ready_but_answers(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey: EmbeddedValkey, workers: int
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    delayed = {"redis_url": valkey.url, "drain_delay_s": 600}
    with serving(short_path, origin.url, workers=workers, **delayed) as server:
        assert server.get("/readyz").status_code == 200
        server.parent.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + LIMIT_S
        while server.get("/readyz").status_code == 200:
            assert time.monotonic() < deadline, "the edge is still ready"
        picture = server.get("/image/cat")
        assert picture.status_code == 200
        assert picture.headers["connection"] == "close"
        assert server.get("/livez").status_code == 200
        server.ctrl_c()  # ends the delay
        assert wait_for_exit(server) == 0
