"""Whole servers, as `latentedge serve` starts them: several workers, one store, and no orphaned processes."""

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from service.store.embedded import MEMORY_FOLDER, EmbeddedValkey
from tests.service.other_folders import without_temporary_folder
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.server_process import serving
from tests.service.slow_store import slow_store

FRESH = {"Cache-Control": "max-age=600"}
LIMIT_S = 120


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
        assert server.parent.wait(LIMIT_S) == 0
    assert not list(short_path.glob("latentedge-*")), "something was left behind"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_server_leaves_no_process_behind(
    short_path: Path, origin: ScriptedOrigin, workers: int, valkey_program: None
) -> None:
    """The kernel closes a connection when the process at its other end dies, which is the barrier."""
    _ = valkey_program
    with serving(short_path, origin.url, workers=workers) as server, server.store() as store:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as idle:
            idle.sendall(b"GET /livez HTTP/1.1\r\nHost: edge\r\n\r\n")
            assert idle.recv(9) == b"HTTP/1.1 "
            server.parent.kill()
            while idle.recv(65536):
                pass
        with pytest.raises(redis.exceptions.ConnectionError):
            store.blpop(["never"], timeout=50)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_embedded_store_that_has_died_is_replaced(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, workers: int, valkey_program: None
) -> None:
    _ = valkey_program
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
    with serving(short_path, origin.url, workers=workers, store_retry_s=0) as server:
        assert "stored" in server.get("/image/cat").headers["cache-status"]
        with server.store() as store:
            os.kill(store.info("server")["process_id"], signal.SIGKILL)
        server.wait_until_said("the embedded Valkey has ended with status 137")
        with server.store() as store:
            Retry(ConstantBackoff(0.05), 20 * LIMIT_S).call_with_retry(store.ping, lambda _: None)
        assert "stored" in server.get("/image/cat").headers["cache-status"]
        server.parent.send_signal(signal.SIGTERM)
        assert server.parent.wait(LIMIT_S) == 0
    assert not list(short_path.glob("latentedge-*")), "something was left behind"


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
        assert server.parent.wait(LIMIT_S) == 0


@pytest.mark.parametrize(("number", "started"), [(signal.SIGHUP, 2), (signal.SIGTTIN, 1)])
def test_workers_that_start_later_have_the_same_limits(
    short_path: Path, origin: ScriptedOrigin, valkey: EmbeddedValkey, number: signal.Signals, started: int
) -> None:
    """uvicorn's supervisor would start them with its own server, which accepts a request without Host."""
    with serving(short_path, origin.url, workers=2, redis_url=valkey.url) as server:
        server.parent.send_signal(number)
        for _ in range(started):
            server.wait_until_said("startup complete")
        for _ in range(6):
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
                client.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 400 ")
        # One of the new workers continues the history of the ended ones, and every worker shows it.
        while not (known := server.get("/history").json()["seconds"]):
            assert server.parent.poll() is None
        assert all(server.get("/history").json()["seconds"][: len(known)] == known for _ in range(6))
        server.parent.send_signal(signal.SIGTERM)
        assert server.parent.wait(LIMIT_S) == 0


def test_workers_without_a_folder_serve_pictures_and_count_for_themselves(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey: EmbeddedValkey
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    with (
        slow_store(valkey.url) as store,  # over TCP: the socket is in one of the folders that the server does not see
        serving(short_path, origin.url, *without_temporary_folder(), workers=2, redis_url=store.url) as server,
    ):
        assert server.said.count("the workers do not share their figures") == 1
        assert "stored" in server.get("/image/cat").headers["cache-status"]
        assert "edge_build_info" in server.get("/metrics").text


def test_a_container_with_a_read_only_file_system_has_its_store_in_memory(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey_program: None
) -> None:
    _ = valkey_program
    origin.script("/cat", Reply(photo, headers=FRESH))
    before = without_temporary_folder(but=Path(MEMORY_FOLDER))
    with serving(short_path, origin.url, *before, workers=2) as server:
        assert "stored" in server.get("/image/cat").headers["cache-status"]
        server.parent.send_signal(signal.SIGTERM)
        assert server.parent.wait(LIMIT_S) == 0
