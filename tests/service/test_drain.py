"""Graceful shutdown: SIGTERM ends readiness at once, work in progress is finished, and a time limit cuts the rest."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from service.records.store_keys import record_key
from service.serving import http_connection
from service.serving.drain import Drain
from service.store.embedded import EmbeddedValkey
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.server_process import Server, serving
from tests.service.small_server import ask as small_ask
from tests.service.small_server import one_answer, request, small_server, statuses, until_closed

FRESH = {"Cache-Control": "max-age=600"}
LIMIT_S = 120
CLIENTS = 400
"""More connections than a server accepts before it has noticed that it is to stop."""


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
    wait_until_refused(server.port)


def wait_until_refused(port: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S).close()
        except (ConnectionRefusedError, ConnectionResetError):  # reset: the server closed its socket during the attempt
            return
    pytest.fail("the server still accepts connections")


def wait_until_pending(pid: int, number: signal.Signals) -> None:
    """Wait until a signal that the parent forwards waits for a stopped process, which receives it as it continues."""
    bit = 1 << (number - 1)
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        if any(int(mask, 16) & bit for mask in re.findall(r"^(?:SigPnd|ShdPnd):\s*(\w+)$", status, re.MULTILINE)):
            return
        time.sleep(0.01)
    pytest.fail(f"{number.name} did not reach the stopped process {pid}")


def workers_of(server: Server) -> list[int]:
    return [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", server.said)]


@contextmanager
def the_only_one_that_runs(pid: int, workers: list[int]) -> Iterator[None]:
    """Stop the other workers during the block, so that this one accepts every connection."""
    others = [one for one in workers if one != pid]
    for one in others:
        os.kill(one, signal.SIGSTOP)
    for one in others:
        wait_until_stopped(one)
    try:
        yield
    finally:
        for one in others:
            os.kill(one, signal.SIGCONT)


def wait_until_stopped(pid: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, f"{pid} still runs"


def wait_until_not_ready(server: Server) -> None:
    deadline = time.monotonic() + LIMIT_S
    while server.get("/readyz").status_code == 200:
        assert time.monotonic() < deadline, "the edge is still ready"


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
    delayed = {"redis_url": valkey.url, "drain_delay_s": 600, "hung_s": 0}
    with serving(short_path, origin.url, workers=workers, **delayed) as server:
        assert server.get("/readyz").status_code == 200
        server.parent.send_signal(signal.SIGTERM)
        for pid in workers_of(server):
            with the_only_one_that_runs(pid, workers_of(server)):
                wait_until_not_ready(server)
        picture = server.get("/image/cat")
        assert picture.status_code == 200
        assert picture.headers["connection"] == "close"
        for path in ("/livez", "/image/cat?res=none", "/nowhere"):
            assert server.get(path).headers["connection"] == "close"
        server.ctrl_c()  # ends the delay
        assert wait_for_exit(server) == 0


def test_a_kept_connection_is_closed_by_its_next_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that closes it at once resets a request that is on its way."""
    monkeypatch.setattr(http_connection, "LEAVE_S", LIMIT_S)
    with small_server() as server, server.connect() as used, server.connect() as fresh:
        assert b"connection: close" not in small_ask(used, "/")
        assert b"connection: close" not in small_ask(fresh, "/").lower()
        server.server.should_exit = True
        wait_until_refused(server.port)
        for client in (used, fresh):
            client.sendall(request("/"))
            assert statuses(said := until_closed(client)) == [200]
            assert b"connection: close" in said


def test_a_connection_without_a_request_does_not_delay_the_end_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "LEAVE_S", 0.1)
    with small_server() as server, server.connect() as used, server.connect() as fresh:
        small_ask(used, "/")
        server.server.should_exit = True
        assert not until_closed(used)
        assert not until_closed(fresh)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_connection_that_was_made_is_answered(
    short_path: Path, origin: ScriptedOrigin, valkey: EmbeddedValkey, workers: int
) -> None:
    """They wait in the backlog of processes that are stopped, and SIGTERM waits there, too."""
    settings = {"redis_url": valkey.url, "hung_s": 0}
    with serving(short_path, origin.url, workers=workers, **settings) as server, ExitStack() as closing:
        serve = workers_of(server)
        for pid in serve:
            os.kill(pid, signal.SIGSTOP)
        clients = [closing.enter_context(connect(server)) for _ in range(CLIENTS)]
        for client in clients:
            ask(client, "/livez")
        server.parent.send_signal(signal.SIGTERM)
        for pid in serve:
            wait_until_pending(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)
        for client in clients:
            said = answer(client)
            assert said.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"connection: close" in said
        assert wait_for_exit(server) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hang_up_cuts_no_request(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey: EmbeddedValkey, workers: int
) -> None:
    """A terminal sends it to all processes. Several workers are replaced one by one."""
    reply = slow(photo)
    origin.script("/slow", reply)
    with serving(short_path, origin.url, workers=workers, redis_url=valkey.url) as server, connect(server) as client:
        ask(client, "/image/slow")
        assert reply.arrived.wait(LIMIT_S)
        os.killpg(server.parent.pid, signal.SIGHUP)
        for _ in range(workers if workers > 1 else 0):
            server.wait_until_said("startup complete")
            assert server.get("/livez").status_code == 200
        release(reply)
        assert one_answer(client).startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.get("/livez").status_code == 200
        server.parent.send_signal(signal.SIGTERM)
        assert wait_for_exit(server) == 0
