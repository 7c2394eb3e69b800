"""Whole servers, as `latentedge serve` starts them: several workers, one store, and no orphans."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.service.scripted_origin import Reply, ScriptedOrigin

SERVER = """
import sys
from service.serving import run
from service.settings import read_settings
run(read_settings(), host="127.0.0.1", port=int(sys.argv[1]), workers=int(sys.argv[2]))
"""
FRESH = {"Cache-Control": "max-age=600"}


@dataclass(frozen=True)
class Server:
    parent: subprocess.Popen[str]
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> httpx.Response:
        """On a connection of its own: any worker may take it."""
        return httpx.get(self.url + path, timeout=60, trust_env=False)

    def store(self) -> redis.Redis:
        (path,) = self.folder.glob("latentedge-*/store.sock")
        return redis.Redis(unix_socket_path=str(path), socket_timeout=60)


@contextmanager
def serving(tmp_path: Path, origin: str, *, workers: int) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"EDGE_ORIGIN": origin, "TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", SERVER, str(port), str(workers)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr is not None
        said = []
        for line in parent.stderr:
            said.append(line)
            # One worker listens after it has started, several share a socket that is there before.
            if sum("startup complete" in one for one in said) == workers and any("running on" in one for one in said):
                break
        else:
            pytest.fail("the server did not start:\n" + "".join(said))
        try:
            yield Server(parent, port, tmp_path)
        finally:
            parent.kill()


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The socket of the store lies in it, and such paths must be short."""
    return tmp_path_factory.mktemp("s")


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_share_the_store_and_the_figures(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, workers: int, valkey_program: None
) -> None:
    _ = valkey_program
    origin.script("/cat", Reply(photo, headers=FRESH))
    with serving(short_path, origin.url, workers=workers) as server:
        outcomes = [server.get("/image/cat?res=medium").headers["cache-status"] for _ in range(12)]
        assert "stored" in outcomes[0]
        assert all("; hit;" in outcome for outcome in outcomes[1:])
        for _ in range(6):
            figures: dict[str, Any] = server.get("/stats").json()
            assert figures["requests_total"] == 12
            assert figures["hit_ratio"] == pytest.approx(11 / 12)
            assert figures["store"]["objects"] == 1
            assert "edge_store_objects 1.0" in server.get("/metrics").text
        with server.store() as store:
            assert store.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lfu"}
        server.parent.send_signal(signal.SIGTERM)
        assert server.parent.wait(60) == 0
    assert not list(short_path.glob("latentedge-*")), "something was left behind"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_server_leaves_nobody_behind(
    short_path: Path, origin: ScriptedOrigin, workers: int, valkey_program: None
) -> None:
    """The kernel closes a connection when its other end is gone: that is the barrier."""
    _ = valkey_program
    with serving(short_path, origin.url, workers=workers) as server, server.store() as store:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as idle:
            idle.sendall(b"GET /livez HTTP/1.1\r\nHost: edge\r\n\r\n")
            assert idle.recv(9) == b"HTTP/1.1 "
            server.parent.kill()
            while idle.recv(65536):
                pass
        with pytest.raises(redis.exceptions.ConnectionError):
            store.blpop(["never"], timeout=30)


def test_a_request_under_way_is_finished(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey_program: None
) -> None:
    _ = valkey_program
    reply = Reply(photo, headers=FRESH, gate=threading.Event())
    origin.script("/slow", reply)
    with serving(short_path, origin.url, workers=1) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
            client.sendall(b"GET /image/slow HTTP/1.1\r\nHost: edge\r\n\r\n")
            assert reply.arrived.wait(60)
            server.parent.send_signal(signal.SIGTERM)
            assert reply.gate is not None
            reply.gate.set()
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert server.parent.wait(60) == 0
