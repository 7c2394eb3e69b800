"""The store against a real Valkey: strings, expiry, leases, and the errors of a store that does not answer."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
import redis

from service.errors import DamagedRecord, StoreUnavailable
from service.store.connection import Connection, Timeouts
from service.store.embedded import EmbeddedValkey
from service.store.hotness import PAGE
from service.store.latent_store import Beside, LatentStore, Token
from service.store.random_sample import Sample
from tests.service.paused import paused

TIMEOUTS = Timeouts(timeout_s=60.0, retry_s=0)
LIMIT_S = 60


class Alarms:
    """Counts the failed commands."""

    def __init__(self) -> None:
        self.count = 0

    def count_store_error(self, _reason: str) -> None:
        self.count += 1


Result = TypeVar("Result")


def ask(url: str, question: Callable[[LatentStore], Awaitable[Result]]) -> Result:
    async def asked() -> Result:
        connection = Connection(url, timeouts=TIMEOUTS, observer=Alarms())
        try:
            return await question(LatentStore(connection))
        finally:
            await connection.close()

    return asyncio.run(asked())


async def put(store: LatentStore, key: bytes, value: bytes) -> None:
    lease = Token(b"l:" + key, b"token")
    assert await store.take(lease, ttl_ms=60_000) == b"token"
    assert await store.put(key, value, ttl_s=60, under=lease)


def client(server: EmbeddedValkey) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def test_a_string_is_stored_with_an_expiry(valkey: EmbeddedValkey) -> None:
    async def question(store: LatentStore) -> bytes | None:
        await put(store, b"p:1", b"\x00latent\xff")
        return await store.get(b"p:1")

    assert ask(valkey.url, question) == b"\x00latent\xff"
    with client(valkey) as direct:
        assert 0 < direct.ttl(b"p:1") <= 60


def test_an_absent_string_is_none(valkey: EmbeddedValkey) -> None:
    assert ask(valkey.url, lambda store: store.get(b"p:none")) is None


def test_a_replaced_string_keeps_its_expiry(valkey: EmbeddedValkey) -> None:
    async def question(store: LatentStore) -> bool:
        await put(store, b"p:1", b"first\xff")
        return await store.replace(b"p:1", b"better\xff", instead_of=b"first\xff")

    assert ask(valkey.url, question)
    with client(valkey) as direct:
        assert direct.get(b"p:1") == b"better\xff"
        assert 0 < direct.ttl(b"p:1") <= 60


def test_a_string_may_be_replaced_with_another_expiry(valkey: EmbeddedValkey) -> None:
    async def question(store: LatentStore) -> bool:
        await put(store, b"p:1", b"old")
        return await store.replace(b"p:1", b"new", instead_of=b"old", ttl_s=600)

    assert ask(valkey.url, question)
    with client(valkey) as direct:
        assert 60 < direct.ttl(b"p:1") <= 600


def test_a_string_is_added_only_if_the_key_is_empty(valkey: EmbeddedValkey) -> None:
    async def question(store: LatentStore) -> list[bool]:
        lease, added = Token(b"l:1", b"token"), []
        for value in (b"first", b"second"):
            await store.take(lease, ttl_ms=60_000)
            added.append(await store.add(b"p:1", value, ttl_s=60, under=lease))
        return added

    assert ask(valkey.url, question) == [True, False]
    with client(valkey) as direct:
        assert direct.get(b"p:1") == b"first"
        assert 0 < direct.ttl(b"p:1") <= 60


def test_a_string_is_written_only_if_the_string_beside_it_is_as_expected(valkey: EmbeddedValkey) -> None:
    """Its expiry is that of the string which expires last."""
    lease = Token(b"l:1", b"token")

    async def question(store: LatentStore) -> None:
        async def put(value: bytes, beside: Beside, *, ttl_s: int) -> bool:
            await store.take(lease, ttl_ms=60_000)
            return await store.put(b"p:1:a", value, ttl_s=ttl_s, under=lease, beside=beside)

        assert await put(b"first", Beside(b"p:1", was=b"", becomes=b"rule"), ttl_s=60)
        for ttl_s in (600, 300):
            assert await put(b"second", Beside(b"p:1", was=b"rule", becomes=b"rule"), ttl_s=ttl_s)
        longer = Beside(b"p:1", was=b"rule", becomes=b"rule")
        assert await store.replace(b"p:1:a", b"third", instead_of=b"second", ttl_s=900, beside=longer)
        other = Beside(b"p:1", was=b"another rule", becomes=b"a third")
        assert not await put(b"late", other, ttl_s=60)
        assert not await store.add(b"p:1:b", b"late", ttl_s=60, under=lease, beside=other)
        assert not await store.replace(b"p:1:a", b"late", instead_of=b"third", ttl_s=60, beside=other)

    ask(valkey.url, question)
    with client(valkey) as direct:
        assert (direct.get(b"p:1"), direct.get(b"p:1:a"), direct.get(b"p:1:b")) == (b"rule", b"third", None)
        assert 600 < direct.ttl(b"p:1") <= 900
        assert 600 < direct.ttl(b"p:1:a") <= 900


def test_add_does_not_write_the_string_beside_over_another(valkey: EmbeddedValkey) -> None:
    lease, beside = Token(b"l:1", b"token"), Beside(b"p:1", was=b"", becomes=b"rule")

    async def question(store: LatentStore) -> list[bool]:
        added = []
        for key in (b"p:1:a", b"p:1:b"):
            await store.take(lease, ttl_ms=60_000)
            added.append(await store.add(key, b"error", ttl_s=60, under=lease, beside=beside))
        return added

    assert ask(valkey.url, question) == [True, False]
    with client(valkey) as direct:
        assert (direct.get(b"p:1"), direct.get(b"p:1:a"), direct.get(b"p:1:b")) == (b"rule", b"error", None)


def test_remove_deletes_only_the_expected_string(valkey: EmbeddedValkey) -> None:
    with client(valkey) as direct:
        direct.set(b"p:1", b"second")
        ask(valkey.url, lambda store: store.remove(b"p:1", b"first"))
        assert direct.get(b"p:1") == b"second"
        ask(valkey.url, lambda store: store.remove(b"p:1", b"second"))
        assert not direct.exists(b"p:1")


def test_a_lease_has_one_holder_until_it_ends(valkey: EmbeddedValkey) -> None:
    mine, yours = Token(b"l:1", b"mine"), Token(b"l:1", b"yours")

    async def question(store: LatentStore) -> None:
        assert await store.take(mine, ttl_ms=60_000) == b"mine"
        assert await store.take(yours, ttl_ms=60_000) == b"mine"
        await store.give_back(yours)
        assert await store.extend([yours, mine], ttl_ms=90_000) == [False, True]
        with client(valkey) as direct:
            assert 60_000 < direct.pttl(b"l:1") <= 90_000
        await store.give_back(mine)
        assert await store.take(yours, ttl_ms=60_000) == b"yours"
        await store.leave(yours, b"mark", ttl_ms=30_000)
        assert await store.take(mine, ttl_ms=60_000) == b"mark"
        with client(valkey) as direct:
            assert 0 < direct.pttl(b"l:1") <= 30_000

    ask(valkey.url, question)


@pytest.mark.parametrize("becomes", [b"yours", None])
def test_nothing_is_written_under_a_lease_that_has_ended(valkey: EmbeddedValkey, becomes: bytes | None) -> None:
    mine = Token(b"l:1", b"mine")

    async def question(store: LatentStore) -> None:
        await store.take(mine, ttl_ms=60_000)
        with client(valkey) as direct:
            if becomes is None:
                direct.delete(b"l:1")
            else:
                direct.set(b"l:1", becomes)
        assert not await store.put(b"p:1", b"latent", ttl_s=60, under=mine)
        assert not await store.add(b"p:1", b"latent", ttl_s=60, under=mine)

    ask(valkey.url, question)
    with client(valkey) as direct:
        assert not direct.exists(b"p:1")
        assert direct.get(b"l:1") == becomes


def test_replace_overwrites_only_the_expected_string(valkey: EmbeddedValkey) -> None:
    with client(valkey) as direct:
        direct.set(b"p:another", b"second", ex=60)
        direct.rpush(b"p:list", b"first")
        for key in (b"p:another", b"p:list", b"p:gone"):
            assert not ask(valkey.url, lambda store: store.replace(key, b"better", instead_of=b"first")), key  # noqa: B023
        assert direct.get(b"p:another") == b"second"
        assert direct.lrange(b"p:list", 0, -1) == [b"first"]
        assert not direct.exists(b"p:gone")


def test_the_embedded_server_evicts_only_keys_with_an_expiry(valkey: EmbeddedValkey) -> None:
    with client(valkey) as direct:
        assert direct.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lfu"}
        assert direct.config_get("save") == {"save": ""}
        direct.config_set("maxmemory", 4 * 2**20)
        direct.set("control", b"survives")
        for number in range(400):
            direct.set(f"p:{number}", bytes(20_000), ex=1000)
        assert direct.info("stats")["evicted_keys"] > 0
        assert direct.get("control") == b"survives"


@pytest.mark.parametrize("pictures", [0, 3, 40])
def test_a_sample_describes_the_store(valkey: EmbeddedValkey, pictures: int) -> None:
    async def question(store: LatentStore) -> Sample:
        for number in range(pictures):
            await put(store, b"p:%d" % number, bytes(5000))
        return await store.sample(prefix=b"p:", size=16)

    sample = ask(valkey.url, question)
    assert sample.objects == pictures
    assert sample.limit_bytes > 0
    assert len(sample.values) == min(pictures, 16)
    assert all(5000 < one.memory_bytes < 6500 for one in sample.values)


def test_a_sample_leaves_out_keys_of_other_types(valkey: EmbeddedValkey) -> None:
    with client(valkey) as direct:
        direct.rpush(b"p:someone else's", "list")
        direct.set(b"p:1", b"latent", ex=60)
    sample = ask(valkey.url, lambda store: store.sample(prefix=b"p:", size=10))
    assert [stored.value for stored in sample.values] == [b"latent"]


def test_a_store_without_a_server_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        ask(f"unix://{tmp_path}/none.sock", lambda store: store.get(b"p:1"))


def test_a_restarted_store_is_used_again(tmp_path: Path) -> None:
    """The old connections in the pool are dead. The first request after the restart must not fail."""

    async def story() -> bytes | None:
        with EmbeddedValkey(limit_bytes=2**24, folder=tmp_path) as first:
            connection = Connection(first.url, timeouts=TIMEOUTS, observer=Alarms())
            store = LatentStore(connection)
            await put(store, b"p:1", b"old")
        with pytest.raises(StoreUnavailable):
            await store.get(b"p:1")
        with EmbeddedValkey(limit_bytes=2**24, folder=tmp_path) as second:
            assert second.url == first.url
            await put(store, b"p:1", b"new")
            found = await store.get(b"p:1")
            await connection.close()
            return found

    assert asyncio.run(story()) == b"new"


def test_a_slow_store_costs_one_wait_and_is_then_not_asked(valkey: EmbeddedValkey) -> None:
    now_s = 0.0

    async def story() -> None:
        nonlocal now_s
        alarms = Alarms()
        timeouts = Timeouts(timeout_s=1.0, retry_s=1.0)
        connection = Connection(valkey.url, timeouts=timeouts, observer=alarms, clock=lambda: now_s)
        store = LatentStore(connection)
        assert await store.get(b"p:1") is None
        with paused(valkey):
            with pytest.raises(StoreUnavailable, match=r"no answer within 1\.0 s"):
                await store.get(b"p:1")
            with pytest.raises(StoreUnavailable, match="back-off"):
                await store.get(b"p:1")
        assert alarms.count == 2
        now_s = 1.5
        assert await store.get(b"p:1") is None
        await connection.close()

    asyncio.run(story())


def test_one_folder_holds_one_server(tmp_path: Path, valkey_program: None) -> None:  # noqa: ARG001
    with EmbeddedValkey(limit_bytes=2**24, folder=tmp_path), pytest.raises(StoreUnavailable, match="another edge"):
        EmbeddedValkey(limit_bytes=2**24, folder=tmp_path).__enter__()


PARENT = """
import sys, time
from service.store.embedded import EmbeddedValkey
with EmbeddedValkey(limit_bytes=2**24) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_the_server_ends_with_its_parent(end: signal.Signals | None, valkey_program: None) -> None:  # noqa: ARG001
    """It ends however the parent ends. The barrier is the connection, which the kernel closes with the server."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent, parent.stdin, parent.stdout:
        url = parent.stdout.readline().decode().strip()
        with redis.Redis.from_url(url, socket_timeout=2 * LIMIT_S, retry=None) as direct:
            assert direct.ping()
            if end is None:
                parent.stdin.close()
            else:
                parent.send_signal(end)
            with pytest.raises(redis.exceptions.ConnectionError):
                direct.blpop(["never"], timeout=LIMIT_S)


def test_the_hottest_keys_of_many_pages_come_first(valkey: EmbeddedValkey) -> None:
    with client(valkey) as direct:
        direct.set("made", "")
        dump = direct.dump("made")
        with direct.pipeline(transaction=False) as pipeline:
            for number in range(3 * PAGE):
                pipeline.restore(f"p:{number:04}", 60_000, dump, frequency=number % 200)
            pipeline.execute()
    keys = ask(valkey.url, lambda store: store.hottest(prefix=b"p:"))
    assert len(set(keys)) == 3 * PAGE
    heat = [int(key.removeprefix(b"p:")) % 200 for key in keys]
    assert heat == sorted(heat, reverse=True)


def test_peek_returns_the_same_as_get(valkey: EmbeddedValkey) -> None:
    with client(valkey) as direct:
        direct.set("p:1", b"\x00latent\xff")
        direct.rpush("p:2", "of someone else")
    assert ask(valkey.url, lambda store: store.peek(b"p:1")) == b"\x00latent\xff"
    assert ask(valkey.url, lambda store: store.peek(b"p:none")) is None
    with pytest.raises(DamagedRecord):
        ask(valkey.url, lambda store: store.peek(b"p:2"))


def test_an_idle_edge_notices_that_the_store_works_again(
    valkey: EmbeddedValkey, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No other command is sent: a worker without requests would else tell of an outage for ever."""
    name = tmp_path / "name"

    async def story() -> None:
        connection = Connection(f"unix://{name}", timeouts=TIMEOUTS, observer=Alarms())
        with pytest.raises(StoreUnavailable):
            await LatentStore(connection).get(b"p:1")
        assert connection.trouble == "unreachable"
        name.symlink_to(urlsplit(valkey.url).path)
        async with asyncio.timeout(60):
            while connection.trouble:  # noqa: ASYNC110  (what is tested tells nobody)
                await asyncio.sleep(0)
        await connection.close()

    asyncio.run(story())
    assert len([line for line in caplog.messages if line.startswith("the store fails: ")]) == 1


def test_a_reply_ends_trouble_with_the_server_and_not_trouble_with_commands(valkey: EmbeddedValkey) -> None:
    async def story() -> None:
        connection = Connection(valkey.url, timeouts=TIMEOUTS, observer=Alarms())
        for reason, remains in (("unreachable", ""), ("read_only", "read_only"), ("timeout", ""), ("denied", "denied")):
            connection.failure("a failure", reason=reason)
            await LatentStore(connection).get(b"p:1")
            assert connection.trouble == remains
        await connection.close()

    asyncio.run(story())
