"""A store that refuses this edge: pictures are shown, and the log, /readyz and a metric tell why."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from redis.exceptions import ResponseError

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from service.store.failure_reasons import reason_of
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin

FRESH = {"Cache-Control": "max-age=600", "Cache-Tag": "cats"}
ADMIN = {"Authorization": "Bearer secret"}


@contextmanager
def no_tls() -> Iterator[str]:
    """Yield the address of a server that answers a TLS handshake with a line of text."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with client:
                    client.recv(65536)
                    client.sendall(b"-ERR unknown command\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"rediss://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def wrong_password(valkey: EmbeddedValkey) -> Iterator[str]:
    with redis.Redis.from_url(valkey.url) as direct:
        direct.config_set("requirepass", "right")
    yield f"unix://:wrong@{urlsplit(valkey.url).path}"


@contextmanager
def unknown_host() -> Iterator[str]:
    yield "redis://nowhere.invalid:6379"


@pytest.mark.parametrize("reason", ["denied", "tls", "unknown_host"])
def test_a_store_that_cannot_be_used_is_told_once(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
    store = {"denied": lambda: wrong_password(valkey), "tls": no_tls, "unknown_host": unknown_host}[reason]
    with store() as url, running_edge(read_settings(origin=origin.url, redis_url=url)) as edge:
        for _ in range(2):
            assert edge.get("/image/cat").status_code == 200
        assert edge.metric(f'edge_store_errors_total{{reason="{reason}"}}') >= 2
        ready = edge.get("/readyz")
        assert (ready.status_code, ready.text) == (200, f"ready\nthe store fails: {reason}\n")
    assert len([line for line in caplog.messages if line.startswith("the store fails: ")]) == 1
    assert "wrong@" not in caplog.text


@pytest.fixture
def edge_after_failover(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, tmp_path: Path
) -> Iterator[RunningEdge]:
    """An edge whose store has become a replica and keeps its connections. Its name leads to another server now."""
    name = tmp_path / "name"
    name.symlink_to(urlsplit(valkey.url).path)
    origin.script("/before", Reply(photo, headers=FRESH))
    settings = read_settings(origin=origin.url, redis_url=f"unix://{name}", admin_token="secret")
    with EmbeddedValkey(limit_bytes=2**26) as successor, running_edge(settings) as edge:
        assert "stored" in edge.get("/image/before").headers["cache-status"]
        name.unlink()
        name.symlink_to(urlsplit(successor.url).path)
        with redis.Redis.from_url(valkey.url) as direct:
            direct.replicaof("127.0.0.1", "1")
        yield edge


def test_writes_go_on_after_a_failover(
    edge_after_failover: RunningEdge, origin: ScriptedOrigin, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    origin.script("/after", *[Reply(photo, headers=FRESH)] * 2)
    first, second, third = (edge_after_failover.get("/image/after").headers["cache-status"] for _ in range(3))
    assert "detail=no-lease" in first
    assert "stored" in second
    assert "; hit" in third
    assert edge_after_failover.metric('edge_store_errors_total{reason="read_only"}') >= 1
    assert len([line for line in caplog.messages if "You can't write against a read only replica" in line]) == 1


def test_the_second_purge_after_a_failover_works(edge_after_failover: RunningEdge) -> None:
    answers = [
        edge_after_failover.client.post("/purge", headers=ADMIN, json={"tag": "cats"}).status_code for _ in range(2)
    ]
    assert answers == [503, 200]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("WRONGPASS invalid username-password pair or user is disabled.", "denied"),
        ("NOAUTH Authentication required.", "denied"),
        ("NOPERM User edge has no permissions to run the 'eval' command", "denied"),
        ("ERR AUTH <password> called without any password configured for the default user.", "denied"),
        ("READONLY You can't write against a read only replica. script: 1f, on @user_script:3.", "read_only"),
        (
            "ERR Error running script: @user_script: 3: -READONLY You can't write against a read only slave.",
            "read_only",
        ),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "read_only"),
        ("NOREPLICAS Not enough good replicas to write.", "read_only"),
        ("ERR unknown command", "error"),
    ],
)
def test_the_reason_is_read_from_the_reply(reply: str, reason: str) -> None:
    assert reason_of(ResponseError(reply)) == reason
