"""Which records are demoted, when, and what wins over a demotion: a real store and the real codec, without an edge."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import redis

from models import upscaler
from models.bitstream import kind_of, parse
from models.weights_file import CheckpointError
from service.demotion import demoter as module
from service.errors import ForeignRecord, RecordOfOthers
from service.metrics.telemetry import Telemetry
from service.records.demoted import is_demoted
from service.records.heartbeat import LEASE_MS
from service.records.record import Record, pack
from service.records.record_reader import Books, RecordReader
from service.records.store_keys import demotion_key, generations_key, record_key
from service.records.vary_rule import VaryRule, pack_rule
from service.render.codec_worker import CodecWorker
from service.store.embedded import EmbeddedValkey
from tests.service.demoting import TTL_MS, Demoting
from tests.service.stored import emptied
from tests.service.test_record import SAMPLE
from tests.service.tiers import a_latent
from tests.service.watched_codec import OPTIONS

ORIGIN = "http://origin.test"
LIMIT_S = 60


@pytest.fixture
def demoting(demoting_of: Demoting, session_valkey: EmbeddedValkey) -> Iterator[Demoting]:
    """An empty store with its default policy, volatile-lfu."""
    with redis.Redis.from_url(session_valkey.url) as store:
        emptied(store)
        store.delete(generations_key(ORIGIN))
        limits = store.config_get("maxmemory*")
        yield replace(demoting_of, store=store, url=session_valkey.url, origin=ORIGIN, telemetry=Telemetry())
        for name in ("maxmemory", "maxmemory-policy"):
            store.config_set(name, limits[name])
        emptied(store)


def put(
    demoting: Demoting, image_id: str, *, frequency: int | None = None, idletime: int | None = None, **given: object
) -> Record:
    """Store a record with a high latent, as it is after so many uses or so many seconds without one."""
    header, key = parse(a_latent()), demoting.key(image_id)
    fields = {
        "bitstream": a_latent(),
        "stream_id": header.stream_id,
        "quality": header.quality,
        "image_id": image_id,
        "generation": 2**50,  # after every purge
    }
    record = replace(SAMPLE, **{**fields, **given})  # type: ignore[arg-type]
    demoting.store.set(key, pack(record, key), px=TTL_MS)
    if frequency is not None or idletime is not None:
        demoting.cool(key, frequency=frequency, idletime=idletime)
    return record


@contextmanager
def writes(store: redis.Redis) -> Iterator[list[bytes]]:
    """Collects the keys that are written during the block, in their order."""
    store.config_set("notify-keyspace-events", "K$")
    keys: list[bytes] = []
    with store.pubsub() as channel:  # type: ignore[no-untyped-call]
        channel.psubscribe(b"__keyspace@0__:p:*")
        assert channel.get_message(timeout=LIMIT_S)["type"] == "psubscribe"
        yield keys
        store.publish("__keyspace@0__:p:end", "set")
        while (message := channel.get_message(timeout=LIMIT_S))["channel"] != b"__keyspace@0__:p:end":
            keys.append(message["channel"].removeprefix(b"__keyspace@0__:"))
    store.config_set("notify-keyspace-events", "")


@pytest.mark.parametrize("policy", ["volatile-lfu", "allkeys-lfu", "volatile-lru", "allkeys-lru", "noeviction"])
def test_cold_records_go_first_and_hot_ones_never(demoting: Demoting, policy: str) -> None:
    demoting.store.config_set("maxmemory-policy", policy)
    for name, frequency in {"warm": 5, "hot": 60, "cold": 0}.items():
        used = {"frequency": frequency} if policy.endswith("lfu") else {"idletime": 120 - 2 * frequency}
        put(demoting, name, **used)
    with writes(demoting.store) as written:
        assert demoting.work() == 2
        assert demoting.work() == 0
    assert written == [demoting.key("cold"), demoting.key("warm")]
    assert [is_demoted(demoting.record(name)) for name in ("cold", "warm", "hot")] == [True, True, False]


def test_a_demoted_record_differs_in_its_latent_alone(demoting: Demoting) -> None:
    record = put(demoting, "cat", frequency=0, tags=("cats",), refinement=40)
    assert demoting.work() == 1
    stored, key = demoting.record(), demoting.key("cat")
    assert kind_of(stored.bitstream) == "medium"
    assert len(stored.bitstream) < 0.6 * len(record.bitstream)
    latent = {"bitstream": stored.bitstream, "stream_id": stored.stream_id, "quality": stored.quality, "refinement": 0}
    assert stored == replace(record, **latent)  # type: ignore[arg-type]
    assert 0 < demoting.store.pttl(key) <= TTL_MS


def test_it_stays_cold(demoting: Demoting) -> None:
    """Else the store would evict warmer records before it."""
    put(demoting, "cat", frequency=0)
    assert demoting.work() == 1
    for _ in range(3):
        assert demoting.work() == 0  # a sample is no use
    assert (
        demoting.store.object("FREQ", demoting.key("cat")) <= 2
    )  # the comparison in the script and the write are uses


def test_nothing_is_demoted_below_the_share(demoting: Demoting) -> None:
    put(demoting, "cat", frequency=0)
    used = int(demoting.store.info("memory")["used_memory"])
    demoting.store.config_set("maxmemory", 2 * used)
    assert demoting.work(share=0.8) == 0
    demoting.store.config_set("maxmemory", 0)
    assert demoting.work(share=0.8) == 0
    demoting.store.config_set("maxmemory", int(used * 1.2))
    assert demoting.work(share=0.8) == 1


@pytest.mark.parametrize("policy", ["volatile-ttl", "allkeys-random"])
def test_a_policy_that_tells_no_cold_keys_is_reported(
    demoting: Demoting, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    demoting.store.config_set("maxmemory-policy", policy)
    put(demoting, "cat", idletime=10_000)
    with caplog.at_level(logging.WARNING):
        assert demoting.work() == 0
    assert [line for line in caplog.messages if policy in line and "EDGE_DEMOTE" in line]


def test_other_strings_are_left_alone(demoting: Demoting) -> None:
    put(demoting, "purged", frequency=0, tags=("cats",), generation=5)
    put(demoting, "weights", frequency=0, stream_id=b"\0\0\0\0")
    for name, written in {"nameless": "", "others": "another"}.items():
        key = demoting.key(name)
        demoting.store.set(key, pack(replace(put(demoting, name), image_id=written), key), px=TTL_MS)
        demoting.cool(key)
    rule = demoting.key("varies")
    demoting.store.set(rule, pack_rule(VaryRule(("accept-language",), bytes(16)), rule))
    demoting.store.rpush("p:{list}", "of someone else")
    demoting.store.hset(generations_key(ORIGIN), mapping={"latest": 6, "hard:cats": 6})
    before = {key: demoting.store.dump(key) for key in demoting.store.scan_iter("p:*")}
    assert demoting.work() == 0
    assert {key: demoting.store.dump(key) for key in demoting.store.scan_iter("p:*")} == before
    assert demoting.outcomes() == {"skipped": 3}


def test_a_change_that_comes_meanwhile_wins(demoting: Demoting) -> None:
    record, key = put(demoting, "cat", frequency=0), demoting.key("cat")
    renewed = pack(replace(record, lifetime_s=record.lifetime_s + 1), key)
    assert demoting.work(act=lambda: demoting.store.set(key, renewed, keepttl=True)) == 0
    assert demoting.store.get(key) == renewed
    demoting.cool(key)
    assert demoting.work(act=lambda: demoting.store.delete(key)) == 0
    assert demoting.store.get(key) is None
    assert demoting.outcomes() == {"superseded": 2}


def test_one_edge_demotes_at_a_time(demoting: Demoting) -> None:
    put(demoting, "cat", frequency=0)

    async def another() -> None:
        async with demoting.demoter() as demoter:
            assert await demoter.work() == 0

    assert demoting.work(act=another) == 1
    assert not demoting.store.exists(demotion_key(ORIGIN))


def test_an_edge_that_dies_in_the_middle_leaves_the_old_record(demoting: Demoting) -> None:
    put(demoting, "cat", frequency=0)
    before = demoting.store.get(demoting.key("cat"))
    command = [sys.executable, "-m", "tests.service.dying_demoter", demoting.url, ORIGIN]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as dying:
        assert dying.stdout is not None
        assert dying.stdout.readline() == b"in the middle\n"
        dying.kill()
    assert demoting.store.get(demoting.key("cat")) == before
    lease = demotion_key(ORIGIN)
    assert 0 < demoting.store.pttl(lease) <= LEASE_MS  # it ends by itself, and then another edge goes on
    assert demoting.work() == 0
    demoting.store.delete(lease)
    assert demoting.work() == 1


def test_a_busy_codec_is_left_alone(demoting: Demoting) -> None:
    put(demoting, "cat", frequency=0)

    async def waits_for_ever() -> None:
        await asyncio.Event().wait()

    with mock.patch.object(module, "IDLE_WAIT_S", 0.01):
        assert demoting.work(act=waits_for_ever) == 0
    assert demoting.outcomes() == {"refused": 1}
    assert not demoting.store.exists(demotion_key(ORIGIN))


@pytest.mark.parametrize(("age_s", "error"), [(10, RecordOfOthers), (5000, ForeignRecord)])
def test_an_edge_without_these_weights_takes_it_for_a_foreign_record(
    demoting: Demoting, age_s: int, error: type[ForeignRecord]
) -> None:
    put(demoting, "cat", frequency=0, filled_ms=1_000_000)
    assert demoting.work() == 1
    key = record_key("cat", origin=ORIGIN)
    value = demoting.store.get(key)
    assert isinstance(value, bytes)
    books = Books(ORIGIN, frozenset({demoting.worker.names.stream_id}), foreign_hold_s=3600)
    reader = RecordReader(books, now=lambda: 1_000 + age_s)
    with pytest.raises(ForeignRecord) as raised:
        reader.read(value, key)
    assert type(raised.value) is error


@pytest.mark.parametrize("demotes", [False, True])
def test_without_an_upscaler_for_its_weights_an_edge_starts_only_if_it_does_not_demote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, demotes: bool
) -> None:
    monkeypatch.setattr(upscaler, "RELEASED", tmp_path / "none.safetensors")

    async def start() -> None:
        worker = CodecWorker(replace(OPTIONS, demotes=demotes), Telemetry().codec)
        try:
            await worker.start()
            assert list(worker.readable) == [worker.names.stream_id]
        finally:
            await worker.close()

    with pytest.raises(CheckpointError) if demotes else nullcontext():
        asyncio.run(start())
