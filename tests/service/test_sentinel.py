"""A store behind Sentinels: the primary is found, and found again after a failover."""

import re
from collections.abc import Iterator

import pytest

from service.errors import SettingsError
from service.settings.edge_settings import read_settings
from service.store.sentinel_address import SentinelAddress
from service.store.servers import Servers
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.sentinel import Watched, watched_in

FRESH = {"Cache-Control": "max-age=600"}
TOKEN = "a token of the tests"


@pytest.fixture(scope="module")
def watched(valkey_program: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    _ = valkey_program
    with watched_in(tmp_path_factory.mktemp("sentinel")) as servers:
        yield servers


@pytest.fixture(scope="module")
def behind(watched: Watched, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    settings = read_settings(
        origin=_session_origin.url, redis_url=watched.url, admin_token=TOKEN, store_timeout_s=5, store_retry_s=0
    )
    Servers.check(settings.redis_url)
    with running_edge(settings) as edge:
        yield edge


def test_an_edge_finds_the_primary_and_its_successor(
    behind: RunningEdge, watched: Watched, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    assert behind.get("/image/cat").headers["cache-status"].startswith("latentedge; fwd=uri-miss; stored")
    assert behind.get("/image/cat").headers["cache-status"].startswith("latentedge; hit")
    watched.kill_primary()
    assert behind.stats()["store"]["answers"] is False
    assert behind.get("/readyz").text == "ready\nthe store fails: unreachable\n"
    watched.fail_over()
    # Its connections are lost: the next command connects anew, and so asks the Sentinels anew.
    assert behind.get("/image/cat").headers["cache-status"].startswith("latentedge; hit")
    assert behind.get("/readyz").text == "ready\n"
    origin.script("/dog", Reply(photo, headers=FRESH))
    assert "stored" in behind.get("/image/dog").headers["cache-status"]
    purged = behind.client.post("/purge", json={"all": True}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert purged.status_code == 200


def test_an_address_is_read() -> None:
    url = "rediss+sentinel://me:p%40ss@one,[::1]:7,two:8/pictures/3?ssl_ca_certs=%2Fca.pem&sentinel_password=s%26"
    assert SentinelAddress.of(url) == SentinelAddress(
        sentinels=(("one", 26379), ("::1", 7), ("two", 8)),
        service="pictures",
        primary_url="rediss://me:p%40ss@primary/3?ssl_ca_certs=%2Fca.pem",
        sentinel_password="s&",
    )
    assert SentinelAddress.of("redis://one/3") is None


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("one", "the service as its path"),
        ("one/", "the service as its path"),
        ("one/pictures/x", "the service as its path"),
        ("one:0/pictures", "hosts separated by commas"),
        ("one:70000/pictures", "hosts separated by commas"),
        ("one,,two/pictures", "hosts separated by commas"),
        ("/pictures", "hosts separated by commas"),
        ("one/pictures?timeout=soon", "redis-py cannot use"),
        ("one/pictures?sentinel_user=x", "unknown option"),
    ],
)
def test_a_fault_of_an_address_is_told_at_the_start(rest: str, told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)) as caught:
        Servers.check(read_settings(origin="http://o", redis_url=f"redis+sentinel://me:hidden@{rest}").redis_url)
    assert str(caught.value).count("EDGE_REDIS_URL") == 1
    assert "hidden" not in str(caught.value)
