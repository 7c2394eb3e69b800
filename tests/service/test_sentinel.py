"""A store behind Sentinels: the primary is found, and found again after a failover."""

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from service.errors import SettingsError, StoreUnavailable
from service.settings.edge_settings import read_settings
from service.store.connection import Connection, Timeouts
from service.store.generation_store import GenerationStore
from service.store.latent_store import LatentStore, Token
from service.store.sentinel_address import SentinelAddress
from service.store.servers import Servers
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.secured_store import Certificate, make_certificate
from tests.service.sentinel import (
    LIMIT_S,
    SENTINEL_PASSWORD,
    SERVICE,
    Watched,
    plain,
    watched_in,
    with_tls,
)
from tests.service.test_store import TIMEOUTS, Alarms

FRESH = {"Cache-Control": "max-age=600"}
TOKEN = "a token of the tests"


@pytest.fixture(scope="module")
def watched(valkey_program: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    _ = valkey_program
    with watched_in(tmp_path_factory.mktemp("sentinel"), plain()) as servers:
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


def test_primaries_and_sentinels_are_reached_by_tls(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)

    async def story(watched: Watched) -> None:
        connection = Connection(watched.url, timeouts=TIMEOUTS, observer=Alarms())
        store, token = LatentStore(connection), Token(b"l:cat", b"token")
        news = GenerationStore(connection, b"g:test").changes()
        await anext(news)
        await store.take(token, ttl_ms=600_000)
        assert await store.put(b"p:cat", b"latent", ttl_s=600, under=token)
        await asyncio.to_thread(watched.kill_primary)
        with pytest.raises(StoreUnavailable, match="the subscription to purges failed"):
            await anext(news)
        await asyncio.to_thread(watched.fail_over)
        assert await store.get(b"p:cat") == b"latent"
        assert await anext(GenerationStore(connection, b"g:test").changes()) == b""
        assert connection.trouble == ""
        await connection.close()

    with watched_in(tmp_path, with_tls(certificate)) as watched:
        Servers.check(read_settings(origin="http://o", redis_url=watched.url).redis_url)
        asyncio.run(story(watched))
        assert asyncio.run(trouble_at(with_authority(watched.url, make_certificate(tmp_path / "other")))) == "tls"


def test_the_log_and_readyz_tell_why_no_sentinel_can_be_used(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = watched.url.replace(f"sentinel_password={SENTINEL_PASSWORD}", "sentinel_password=wrong")
    assert asyncio.run(trouble_at(wrong)) == "denied"
    assert asyncio.run(trouble_at(watched.url.replace(f"/{SERVICE}/", "/another/"))) == "unreachable"
    first, second = (line for line in caplog.messages if line.startswith("the store fails: "))
    assert "no Sentinel knows a primary of 'pictures' that is up" in first
    assert "invalid username-password pair" in first
    assert "no Sentinel knows a primary of 'another' that is up" in second
    assert "wrong@" not in first
    assert len(first) < 500


def test_a_silent_sentinel_leaves_time_for_another(watched: Watched) -> None:
    """Such as one on a machine that is down. Its neighbours are asked within the timeout of one command."""

    async def answers_in_time(connection: Connection) -> bool:
        try:
            await LatentStore(connection).get(b"p:cat")
        except StoreUnavailable:
            return False
        return True

    async def story(url: str) -> None:
        connection = Connection(url, timeouts=Timeouts(timeout_s=1, retry_s=0), observer=Alarms())
        async with asyncio.timeout(LIMIT_S):
            while not await answers_in_time(connection):  # on a slow machine, the first command may take longer
                pass
        await connection.close()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(story(watched.url.replace("@", f"@127.0.0.1:{silent.getsockname()[1]},")))


def with_authority(url: str, other: Certificate) -> str:
    """Return an address that trusts another authority than that of the servers."""
    return re.sub("ssl_ca_certs=.*", f"ssl_ca_certs={quote(str(other.certificate), safe='')}", url)


async def trouble_at(url: str) -> str:
    """Return why a store cannot be used."""
    connection = Connection(url, timeouts=TIMEOUTS, observer=Alarms())
    with pytest.raises(StoreUnavailable):
        await LatentStore(connection).get(b"p:cat")
    await connection.close()
    return connection.trouble


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
