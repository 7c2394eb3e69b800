"""No part of an embedded Valkey outlives its edge, whichever part of it is killed."""

import os
import select
import signal
import sys
from pathlib import Path

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from service.store import watchdog
from service.store.embedded import EmbeddedValkey
from tests.service.conftest import STORE_BYTES
from tests.service.scripted_origin import ScriptedOrigin
from tests.service.server_process import serving

LIMIT_S = 60
WATCHDOG, LOOP = 2, 1
"""How many generations above the server they are."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the processes are found by /proc")


def server_of(store: redis.Redis) -> int:
    pid: int = store.info("server")["process_id"]
    return pid


def ancestor(pid: int, generations: int) -> int:
    for _ in range(generations):
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def wait_for_end(store: redis.Redis) -> None:
    """The kernel closes a connection when the process at its other end dies."""
    with pytest.raises(redis.exceptions.ConnectionError):
        store.blpop(["never"], timeout=LIMIT_S)


def wait_for_answer(store: redis.Redis) -> None:
    Retry(ConstantBackoff(0.05), 20 * LIMIT_S).call_with_retry(store.ping, lambda _: None)


def client(server: EmbeddedValkey) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=LIMIT_S, retry=None)


@pytest.mark.parametrize("part", [WATCHDOG, LOOP])
def test_a_killed_watchdog_is_replaced_and_its_server_ends(valkey_program: None, part: int) -> None:
    _ = valkey_program
    with EmbeddedValkey(limit_bytes=STORE_BYTES) as server, client(server) as store:
        first = server_of(store)
        os.kill(ancestor(first, part), signal.SIGKILL)
        wait_for_end(store)
        wait_for_answer(store)
        assert server_of(store) != first
        server.stop()
        wait_for_end(store)
        assert not Path(server.url.removeprefix("unix://")).parent.exists()


@pytest.mark.parametrize("part", [WATCHDOG, LOOP])
def test_a_server_ends_that_has_just_lost_its_watchdog(valkey_program: None, part: int) -> None:
    _ = valkey_program
    with EmbeddedValkey(limit_bytes=STORE_BYTES) as server, client(server) as store:
        os.kill(ancestor(server_of(store), part), signal.SIGKILL)
        server.stop()
        wait_for_end(store)
        assert not Path(server.url.removeprefix("unix://")).parent.exists()


def test_a_server_that_does_not_answer_ends(valkey_program: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = valkey_program
    monkeypatch.setattr(watchdog, "STOP_LIMIT_S", 0.5)
    with EmbeddedValkey(limit_bytes=STORE_BYTES) as server, client(server) as store:
        os.kill(server_of(store), signal.SIGSTOP)
        server.stop()
        wait_for_end(store)
        assert not Path(server.url.removeprefix("unix://")).parent.exists()


def test_the_new_server_ends_with_a_killed_edge(short_path: Path, origin: ScriptedOrigin, valkey_program: None) -> None:
    _ = valkey_program
    with serving(short_path, origin.url) as edge, edge.store() as store:
        folder = Path(store.config_get("dir")["dir"])
        os.kill(ancestor(server_of(store), WATCHDOG), signal.SIGKILL)
        edge.wait_until_said("the watchdog of the embedded Valkey was killed")
        wait_for_answer(store)
        with os.fdopen(os.pidfd_open(ancestor(server_of(store), WATCHDOG))) as ended:
            edge.parent.kill()
            assert select.select([ended], [], [], LIMIT_S)[0]
        wait_for_end(store)
        assert not folder.exists()
