"""A store behind TLS, with a user that has the documented permissions: all that an edge does is permitted, no more."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import redis

from service.metrics.telemetry import Telemetry
from service.records.store_keys import KEY_PREFIX
from service.settings.edge_settings import read_settings
from service.store.connection import Connection, Timeouts
from service.store.embedded import EmbeddedValkey
from service.store.latent_store import LatentStore, Token
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.secured_store import PASSWORD, documented_rules, make_certificate, make_user, tls_before

TOKEN = "a token of the tests"
SAID = {"Cache-Control": "max-age=600", "ETag": '"v1"', "Cache-Tag": "cats"}
OF_THE_CLIENT = {"auth", "client|setinfo", "client|setname", "select", "ping", "hello", "quit"}
"""Commands of redis-py when it connects, some of them with another address only."""

OF_A_CLUSTER = {"cluster|slots", "command"}
OF_THIS_TEST = {"acl|log", "config|resetstat", "config|set"}


@pytest.fixture(scope="module")
def server(valkey_program: None) -> Iterator[EmbeddedValkey]:
    _ = valkey_program
    with EmbeddedValkey(limit_bytes=64 * 2**20) as valkey:
        yield valkey


@pytest.fixture(scope="module")
def direct(server: EmbeddedValkey) -> Iterator[redis.Redis]:
    """An administrator of the store."""
    with redis.Redis.from_url(server.url) as client:
        make_user(client)
        client.config_resetstat()
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def address(server: EmbeddedValkey, direct: redis.Redis, folder: Path) -> Iterator[str]:
    """The address of the store for an edge."""
    _ = direct
    certificate = make_certificate(folder)
    with tls_before(server, certificate) as port:
        authority = quote(str(certificate.certificate), safe="")
        yield f"rediss://latentedge:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0?ssl_ca_certs={authority}"


@pytest.fixture(scope="module")
def secured(address: str, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    settings = read_settings(origin=_session_origin.url, redis_url=address, admin_token=TOKEN, variants=1)
    with running_edge(settings) as edge:
        yield edge


def test_a_user_with_the_documented_permissions_can_do_all_that_an_edge_does(
    secured: RunningEdge, direct: redis.Redis, origin: ScriptedOrigin, photo: bytes, address: str
) -> None:
    direct.acl_log_reset()
    tell_stories(secured, origin, photo)
    for policy in ("volatile-lfu", "volatile-lru"):
        direct.config_set("maxmemory-policy", policy)
        asyncio.run(ask_as_sweeps_and_demotion_do(address))
    log: Any = direct.acl_log()
    assert [(entry["reason"], entry["object"]) for entry in log if entry["object"].lower() not in OF_THE_CLIENT] == []
    assert secured.metric("edge_store_errors_total") == 0
    allowed = {rule.removeprefix("+") for rule in documented_rules() if rule.startswith("+")}
    counted = direct.info("commandstats").items()
    used = {name.removeprefix("cmdstat_") for name, stat in counted if stat["calls"]} - OF_THIS_TEST
    assert sorted(used - OF_THE_CLIENT) == sorted(allowed - OF_A_CLUSTER - OF_THE_CLIENT)


def tell_stories(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    """Fill, hit, validate, remember an error, vary, drop a variant, and purge in all ways."""
    languages = {"Vary": "Accept-Language", **SAID}
    origin.publish("/cat", *[Reply(photo, headers=SAID)] * 4)
    origin.publish("/word", *[Reply(photo, headers=languages)] * 3)
    origin.script("/none", Reply(status=404))
    origin.script("/mine", *[Reply(photo, headers={"Cache-Control": "private"})] * 2)
    for order in ({"id": "cat", "soft": True}, {"id": "cat"}, {"tag": "cats"}, {"all": True, "soft": True}):
        assert [edge.get("/image/cat?res=medium").status_code for _ in range(2)] == [200, 200]
        purged = edge.client.post("/purge", json=order, headers={"Authorization": f"Bearer {TOKEN}"})
        assert purged.status_code == 200, purged.text
    assert [edge.get("/image/none").status_code for _ in range(2)] == [404, 404]
    assert [edge.get("/image/mine").status_code for _ in range(2)] == [200, 200]
    for language in ("de", "fr", "es"):
        assert edge.get("/image/word", headers={"Accept-Language": language}).status_code == 200
    assert edge.stats()["store"]["objects"] > 0
    assert edge.get("/readyz").text == "ready\n"


async def ask_as_sweeps_and_demotion_do(address: str) -> None:
    connection = Connection(address, timeouts=Timeouts(timeout_s=30, retry_s=0), observer=Telemetry().store)
    store, token = LatentStore(connection), Token(b"l:{x}", b"secret")
    try:
        await store.take(token, ttl_ms=60_000)
        assert await store.put(b"p:{x}", b"cold", ttl_s=60, under=token)
        (key, *_) = await store.hottest(prefix=KEY_PREFIX)
        assert await store.peek(key) is not None
        assert (await store.sample_cold(prefix=KEY_PREFIX, above=0, head_bytes=9)).unsupported_policy == ""
        await store.take(token, ttl_ms=60_000)
        assert await store.extend([token], ttl_ms=60_000) == [True]
        assert await store.remaining_ms(token.lease)
        await store.end(token.lease)
    finally:
        await connection.close()


def test_another_authority_or_password_is_refused(address: str, tmp_path: Path) -> None:
    """By the library that the edge uses, from the same kind of address."""
    parts = urlsplit(address)
    other = quote(str(make_certificate(tmp_path).certificate), safe="")
    with (
        redis.Redis.from_url(parts._replace(query=f"ssl_ca_certs={other}").geturl()) as distrustful,
        pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        distrustful.get("p:x")
    wrong = parts._replace(netloc=f"latentedge:wrong@127.0.0.1:{parts.port}")
    with redis.Redis.from_url(wrong.geturl()) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.get("p:x")
    with redis.Redis.from_url(address) as known, pytest.raises(redis.ResponseError, match="permissions"):
        known.flushall()
    with redis.Redis.from_url(address) as known, pytest.raises(redis.ResponseError, match="permissions"):
        known.get("other")
