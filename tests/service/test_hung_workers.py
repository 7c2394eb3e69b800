"""A worker that stands still is noticed within seconds, whatever the others do, and replaced."""

import os
import re
import signal
import socket
import time
from multiprocessing import connection
from pathlib import Path

import pytest
from uvicorn import Config

from service.serving.supervision import Supervision
from service.serving.watched_process import WatchedProcess
from service.store.embedded import EmbeddedValkey
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.server_process import Server, serving
from tests.service.small_server import NO_LIMITS
from tests.service.stuck_app import PIPE

FRESH = {"Cache-Control": "max-age=600"}
LIMIT_S = 120


def workers_of(server: Server) -> list[int]:
    return [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", server.said)]


def wait_for(process: WatchedProcess, *, serves: bool = False, fault: bool = False) -> str:
    """Check the process whenever it beats, or twice a second, until it serves or has a fault."""
    ends_s = time.monotonic() + LIMIT_S
    while time.monotonic() < ends_s:
        connection.wait([process.parent_conn], 0.5)
        found = process.fault(time.monotonic())
        if (serves and process.is_serving) or (fault and found):
            return found
    raise AssertionError("it neither serves nor has a fault")


def test_an_event_loop_that_is_stuck_is_found(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of the process would still answer a ping."""
    pipe = short_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setenv(PIPE, str(pipe))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = Config("tests.service.stuck_app:create", factory=True, log_config=None, lifespan="on", ws="none")
        rules = Supervision(limits=NO_LIMITS, hung_s=1.0, drain_delay_s=0, drain_s=1)
        process = WatchedProcess(config, [listening], rules=rules)
        process.start()
        try:
            assert not wait_for(process, serves=True)
            with socket.create_connection(listening.getsockname(), timeout=LIMIT_S) as client:
                client.sendall(b"GET /stuck HTTP/1.1\r\nHost: edge\r\n\r\n")
                assert "no heartbeat" in wait_for(process, fault=True)
        finally:
            process.end()
    assert process.fault(time.monotonic()) == "died"


def test_a_worker_that_stands_still_is_replaced(
    short_path: Path, origin: ScriptedOrigin, photo: bytes, valkey: EmbeddedValkey
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    with serving(short_path, origin.url, workers=2, redis_url=valkey.url, hung_s=3) as server:
        os.kill(workers_of(server)[0], signal.SIGSTOP)
        server.wait_until_said("has sent no heartbeat")
        server.wait_until_said("startup complete")
        assert server.get("/image/cat").status_code == 200
        server.parent.send_signal(signal.SIGTERM)
        assert server.parent.wait(LIMIT_S) == 0


def test_one_worker_stands_still_and_the_other_dies(
    short_path: Path, origin: ScriptedOrigin, valkey: EmbeddedValkey
) -> None:
    with serving(short_path, origin.url, workers=2, redis_url=valkey.url, hung_s=LIMIT_S) as server:
        stopped, killed = workers_of(server)
        os.kill(stopped, signal.SIGSTOP)
        os.kill(killed, signal.SIGKILL)
        server.wait_until_said(f"process {killed} died")
        assert Path(f"/proc/{stopped}").exists(), "the supervisor waited for the one that stands still"
        assert server.get("/livez").status_code == 200
        os.kill(stopped, signal.SIGKILL)  # it could not follow its parent


def test_a_worker_that_stands_still_does_not_keep_the_edge_from_ending(
    short_path: Path, origin: ScriptedOrigin, valkey: EmbeddedValkey
) -> None:
    settings = {"redis_url": valkey.url, "hung_s": 0, "drain_s": 1}
    soon = "from service.serving import workers; workers.STOP_S = 1"
    with serving(short_path, origin.url, workers=2, first=soon, **settings) as server:
        os.kill(workers_of(server)[0], signal.SIGSTOP)
        server.parent.send_signal(signal.SIGTERM)
        assert server.parent.wait(LIMIT_S) == 0
