"""EDGE_ADMIN_PORT: a process of its own serves the routes for operators, whatever the workers do."""

import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.metrics.release import read_version
from service.serving import readiness
from service.serving.readiness import ReadyMark, WorkerState, keep_announced, ready_worker
from service.store.embedded import EmbeddedValkey
from service.web.stats import CodecFigures
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.server_process import Server, serving

FRESH = {"Cache-Control": "max-age=600"}
LIMIT_S = 120
CODEC = CodecFigures(
    device="cpu", head="cpu", kernels="heads=float32", stream_id="00", quality=20, target_ssimulacra2=None
)
STATE = WorkerState(CODEC, store_trouble="denied")


@pytest.fixture
def admin(valkey_program: None, unused_port: int) -> Iterator[httpx.Client]:
    """A client of the admin port."""
    _ = valkey_program
    url = f"http://127.0.0.1:{unused_port}"
    with httpx.Client(base_url=url, timeout=LIMIT_S, trust_env=False) as client:
        yield client


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "never came true"


def worker_of(server: Server) -> int:
    (mark,) = server.folder.glob("latentedge-metrics-*/*.ready")
    return int(mark.stem)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_port_has_its_own_routes(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, admin: httpx.Client, workers: int
) -> None:
    """The edge of this test has a store of its own."""
    origin.script("/cat", Reply(photo, headers=FRESH))
    with serving(short_path, origin.url, workers=workers, admin_port=admin.base_url.port) as server:
        assert [server.get("/image/cat?res=medium").status_code for _ in range(6)] == [200] * 6
        for _ in range(3):
            figures: dict[str, Any] = admin.get("/stats").json()
            assert figures["requests_total"] == 6
            assert figures["store"]["objects"] == 1
            assert figures["codec"]["device"] == "cpu"
        metrics = admin.get("/metrics").text
        assert 'edge_cache_requests_total{res="medium",status="hit"} 5.0' in metrics
        assert "edge_store_objects 1.0" in metrics
        # Each worker tells the same: one line, of value 1, however many there are.
        (build,) = [line for line in metrics.splitlines() if line.startswith("edge_build_info{")]
        assert f'version="{read_version()}"' in build
        assert "pid=" not in build
        assert build.endswith(" 1.0")
        assert admin.get("/").headers["content-type"].startswith("text/html")
        assert {admin.get(path).status_code for path in ("/livez", "/readyz")} == {200}
        assert admin.get("/image/cat").headers["allow"] == "PURGE"
        assert {server.get(path).status_code for path in ("/livez", "/readyz")} == {200}
        operators = ("/stats", "/metrics", "/", "/docs", "/openapi.json", "/docs-files/swagger-ui.css")
        assert {server.get(path).status_code for path in operators} == {404}
        assert {admin.get(path).status_code for path in operators} == {200}
        assert httpx.post(f"{server.url}/purge", trust_env=False).status_code == 404
        assert httpx.request("PURGE", f"{server.url}/image/cat", trust_env=False).status_code == 405
        server.parent.send_signal(signal.SIGTERM)
        assert server.parent.wait(LIMIT_S) == 0
    assert not list(short_path.glob("latentedge-*")), "something was left behind"


def test_a_stopped_worker_does_not_delay_the_admin_port(
    short_path: Path, origin: ScriptedOrigin, valkey: EmbeddedValkey, admin: httpx.Client
) -> None:
    with serving(short_path, origin.url, redis_url=valkey.url, admin_port=admin.base_url.port) as server:
        worker = worker_of(server)
        os.kill(worker, signal.SIGSTOP)
        assert [admin.get(path).status_code for path in ("/livez", "/readyz", "/metrics", "/stats")] == [200] * 4
        os.kill(worker, signal.SIGCONT)


def test_a_worker_that_died_is_not_ready_and_another_takes_its_place(
    short_path: Path, origin: ScriptedOrigin, valkey: EmbeddedValkey, admin: httpx.Client
) -> None:
    with serving(short_path, origin.url, redis_url=valkey.url, admin_port=admin.base_url.port) as server:
        assert len(list(server.folder.glob("latentedge-metrics-*/gauge_livesum_*.db"))) == 2
        server.parent.send_signal(signal.SIGSTOP)  # so that it starts no other worker yet
        os.kill(worker_of(server), signal.SIGKILL)
        until(lambda: admin.get("/readyz").status_code == 503)
        assert admin.get("/livez").status_code == 200
        assert admin.get("/stats").status_code == 503
        server.parent.send_signal(signal.SIGCONT)
        until(lambda: admin.get("/readyz").status_code == 200)
        assert len(list(server.folder.glob("latentedge-metrics-*/gauge_livesum_*.db"))) == 2, "its queue still counts"


def test_an_admin_process_that_died_comes_back(
    short_path: Path, origin: ScriptedOrigin, valkey: EmbeddedValkey, admin: httpx.Client
) -> None:
    with serving(short_path, origin.url, redis_url=valkey.url, admin_port=admin.base_url.port) as server:
        started = {int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", server.said)}
        (process,) = started - {worker_of(server)}
        os.kill(process, signal.SIGKILL)
        server.wait_until_said("startup complete")
        assert admin.get("/readyz").status_code == 200


def test_readiness_ends_at_once_and_figures_stay_until_the_end(
    short_path: Path, origin: ScriptedOrigin, valkey: EmbeddedValkey, admin: httpx.Client
) -> None:
    settings = {"redis_url": valkey.url, "admin_port": admin.base_url.port, "drain_delay_s": 600}
    with serving(short_path, origin.url, workers=2, **settings) as server:
        server.parent.send_signal(signal.SIGTERM)
        until(lambda: admin.get("/readyz").status_code == 503)
        assert admin.get("/metrics").status_code == 200
        assert admin.get("/livez").status_code == 200
        server.ctrl_c()
        assert server.parent.wait(LIMIT_S) == 0


def test_all_processes_exit_when_their_parent_is_killed(
    short_path: Path, origin: ScriptedOrigin, valkey: EmbeddedValkey, admin: httpx.Client
) -> None:
    """The kernel closes a connection when the other process exits, which is the barrier of this test."""
    port = admin.base_url.port
    assert port is not None
    with (
        serving(short_path, origin.url, redis_url=valkey.url, admin_port=port) as server,
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as idle,
    ):
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: edge\r\n\r\n")
        assert idle.recv(9) == b"HTTP/1.1 "
        server.parent.kill()
        while idle.recv(65536):
            pass
        with pytest.raises(httpx.ConnectError):
            admin.get("/livez")


def test_a_mark_names_the_codec_until_it_is_cleared(tmp_path: Path) -> None:
    assert ready_worker(tmp_path) is None
    mark = ReadyMark(tmp_path)
    mark.set(STATE)
    assert ready_worker(tmp_path) == STATE
    mark.clear()
    assert ready_worker(tmp_path) is None
    mark.set(STATE)
    assert ready_worker(tmp_path) is None, "what was cleared stays so"


def test_a_mark_that_could_not_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As with a full disk: here the folder is missing for two updates."""
    monkeypatch.setattr(readiness, "UPDATE_S", 0)
    folder = tmp_path / "away"

    async def story() -> None:
        looks, announced_again = 0, asyncio.Event()

        def state() -> WorkerState:
            nonlocal looks
            looks += 1
            if looks == 3:
                folder.mkdir()
            if looks == 4:
                announced_again.set()
            return STATE

        async with keep_announced(ReadyMark(folder), state):
            await asyncio.wait_for(announced_again.wait(), LIMIT_S)
            assert ready_worker(folder) == STATE

    asyncio.run(story())
    assert ready_worker(folder) is None
    assert [record.levelname for record in caplog.records if record.name == readiness.__name__] == ["WARNING"]


def test_the_mark_of_a_dead_worker_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "1.ready").write_text("{}")
    assert ready_worker(tmp_path) is None
