"""Records of a newer release stay in the store: an old edge fetches the picture once and keeps it in memory."""

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
import redis

from service.records.negative_entry import is_negative_entry
from service.records.record import pack, unpack
from service.records.store_keys import record_key
from service.records.vary_rule import FRAMING
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.purging import TOKEN, purge
from tests.service.releases import newer, record_of_the_last_release, unbound
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import afresh, stored_keys
from tests.service.test_revalidation import encodes
from tests.service.varying import DE, EN, Variants, ask, in_language

CATS = {"Cache-Control": "max-age=600", "ETag": '"v1"', "Cache-Tag": "cats"}
MISS, HIT = "latentedge; fwd=uri-miss; stored", "latentedge; hit"
BESIDE = "latentedge; fwd=bypass; detail=newer-record"


@pytest.fixture(scope="module")
def _old(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    settings = read_settings(
        origin=_session_origin.url, redis_url=session_valkey.url, admin_token=TOKEN, hold_off_s=0, forward="all"
    )
    with running_edge(settings) as edge:
        yield edge


@pytest.fixture
def old(_old: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge of this release beside newer ones, with an empty store."""
    return afresh(_old, session_valkey)


@pytest.fixture
def key(old: RunningEdge, origin: ScriptedOrigin) -> bytes:
    _ = old  # empties the store
    return record_key("cat", origin=origin.url)


def told(answer: httpx.Response) -> str:
    """Return the Cache-Status of a response without its ttl."""
    return re.sub("; ttl=[0-9]+", "", answer.headers["cache-status"])


def held(store: redis.Redis, key: bytes) -> bytes:
    value = store.get(key)
    assert isinstance(value, bytes)
    return value


def replaced_by_a_newer(store: redis.Redis, key: bytes) -> bytes:
    value = held(store, key)
    store.set(key, newer(value), ex=600)
    return newer(value)


def faults(edge: RunningEdge, fault: str = "newer_record") -> float:
    return edge.metric(f'edge_record_faults_total{{fault="{fault}"}}')


def test_a_newer_record_stays_and_the_picture_is_fetched_once(
    old: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, key: bytes
) -> None:
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
    first = old.get("/image/cat")
    value, before = replaced_by_a_newer(store, key), faults(old)
    beside = old.get("/image/cat")
    assert told(beside) == BESIDE
    assert beside.content == first.content
    again = [old.get("/image/cat"), old.get("/image/cat?res=medium"), old.client.head("/image/cat")]
    assert [told(one) for one in again] == [HIT] * 3
    assert again[0].content == first.content
    assert old.get("/image/cat", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert faults(old) == before + 1
    assert stored_keys(store) == [key]
    assert store.get(key) == value


def test_a_crowd_makes_one_fetch(old: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes) -> None:
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
    old.get("/image/cat")
    value = replaced_by_a_newer(store, record_key("cat", origin=origin.url))

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=old.url, timeout=120, trust_env=False) as client:
            return await asyncio.gather(*[client.get("/image/cat") for _ in range(50)])

    assert {one.status_code for one in asyncio.run(crowd())} == {200}
    assert store.get(record_key("cat", origin=origin.url)) == value


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("what", [{"id": "cat"}, {"tag": "cats"}, {"all": True}])
def test_a_purge_applies_to_the_record_in_memory(  # noqa: PLR0913, PLR0917  (fixtures)
    old: RunningEdge,
    origin: ScriptedOrigin,
    store: redis.Redis,
    photo: bytes,
    key: bytes,
    what: dict[str, object],
    soft: bool,  # noqa: FBT001
) -> None:
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 3)
    old.get("/image/cat")
    replaced_by_a_newer(store, key)
    assert [told(old.get("/image/cat")) for _ in range(2)] == [BESIDE, HIT]
    purge(old, **what, soft=soft)
    after = old.get("/image/cat")
    assert told(after) != HIT
    assert after.status_code == 200
    assert told(old.get("/image/cat")) == HIT


def test_the_record_in_memory_is_validated_with_the_origin(
    old: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, key: bytes
) -> None:
    brief = CATS | {"Cache-Control": "max-age=600", "Age": "600"}
    origin.script("/cat", Reply(photo, headers=CATS), Reply(photo, headers=brief), Reply(status=304, headers=CATS))
    old.get("/image/cat")
    value = replaced_by_a_newer(store, key)
    made = encodes(old)
    assert told(old.get("/image/cat")) == BESIDE
    assert told(old.get("/image/cat")) == "latentedge; fwd=stale; fwd-status=304"
    assert told(old.get("/image/cat")) == HIT
    assert encodes(old) == made + 1
    assert store.get(key) == value


def test_another_newer_record_ends_the_record_in_memory(
    old: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, key: bytes
) -> None:
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 3)
    old.get("/image/cat")
    record = unpack(held(store, key), key)
    replaced_by_a_newer(store, key)
    assert told(old.get("/image/cat")) == BESIDE
    store.set(key, newer(pack(replace(record, lifetime_s=1), key)), ex=600)
    assert [told(old.get("/image/cat")) for _ in range(2)] == [BESIDE, HIT]


def test_a_newer_negative_entry_stays_and_the_picture_is_fetched_once(
    old: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, key: bytes
) -> None:
    origin.script("/cat", *[Reply(status=404)] * 2)
    old.get("/image/cat")
    value = replaced_by_a_newer(store, key)
    assert is_negative_entry(value)
    assert [old.get("/image/cat").status_code for _ in range(3)] == [404] * 3
    assert store.get(key) == value


def test_with_a_newer_vary_rule_each_client_gets_its_own_variant(
    old: RunningEdge, origin: ScriptedOrigin, store: redis.Redis
) -> None:
    variants = Variants(store, origin)
    origin.script("/cat", in_language("en"), in_language("de"), in_language("en"), in_language("de"))
    right = [ask(old, asked).content for asked in (EN, DE)]
    value = replaced_by_a_newer(store, variants.home)
    for _ in range(2):
        assert [ask(old, asked).content for asked in (EN, DE)] == right
    assert store.get(variants.home) == value


def test_a_newer_variant_stays(old: RunningEdge, origin: ScriptedOrigin, store: redis.Redis) -> None:
    variants = Variants(store, origin)
    origin.script("/cat", in_language("en"), in_language("de"), in_language("en"))
    right = [ask(old, asked).content for asked in (EN, DE)]
    value = replaced_by_a_newer(store, variants.key(EN))
    for _ in range(2):
        assert [ask(old, asked).content for asked in (EN, DE)] == right
    assert store.get(variants.key(EN)) == value


def test_a_rule_of_the_last_release_stays_as_it_is_when_a_variant_is_added(
    old: RunningEdge, origin: ScriptedOrigin, store: redis.Redis
) -> None:
    """Edges of the last release cannot read a newer rule: they would replace it, and fetch all variants again."""
    variants = Variants(store, origin)
    origin.script("/cat", in_language("en"), in_language("de"))
    ask(old, EN)
    value = unbound(held(store, variants.home), FRAMING)
    store.set(variants.home, value, ex=600)
    assert [told(ask(old, asked)) for asked in (EN, DE)] == [HIT, "latentedge; fwd=vary-miss; stored"]
    assert [told(ask(old, asked)) for asked in (EN, DE)] == [HIT, HIT]
    assert store.get(variants.home) == value


@pytest.mark.parametrize(("age_s", "is_left"), [(3000, True), (4000, False), (-4000, False)])
def test_a_latent_of_other_weights_stays_for_the_hold_time(  # noqa: PLR0913, PLR0917  (fixtures)
    old: RunningEdge,
    origin: ScriptedOrigin,
    store: redis.Redis,
    photo: bytes,
    key: bytes,
    age_s: int,
    is_left: bool,  # noqa: FBT001
) -> None:
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
    old.get("/image/cat")
    record = replace(
        unpack(held(store, key), key), stream_id=b"\0\0\0\0", filled_ms=round((time.time() - age_s) * 1000)
    )
    store.set(key, pack(record, key), ex=600)
    if is_left:
        expected = ["latentedge; fwd=bypass; detail=other-weights", HIT]
    else:
        expected = [f"{MISS}; detail=foreign-record", HIT]
    assert [told(old.get("/image/cat")) for _ in range(2)] == expected
    assert (store.get(key) == pack(record, key)) == is_left


def test_a_record_of_the_last_release_is_a_hit_and_stays_until_it_is_written_again(
    old: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, key: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=CATS), Reply(status=304, headers=CATS))
    right = old.get("/image/cat").content
    record = unpack(held(store, key), key)
    value = record_of_the_last_release(pack(record, key))
    store.set(key, value, ex=600)
    hit = old.get("/image/cat")
    assert (told(hit), hit.content) == (HIT, right)
    assert store.get(key) == value
    stale = replace(record, born_ms=record.born_ms - 600_000)
    store.set(key, record_of_the_last_release(pack(stale, key)), ex=600)
    assert "fwd-status=304" in told(old.get("/image/cat"))
    written = held(store, key)
    assert written[3] == 6
    assert unpack(written, key).bitstream == record.bitstream


def test_a_record_of_the_last_release_that_was_copied_under_another_key_is_damage(
    old: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, key: bytes
) -> None:
    """The record has no digest of its key, but it has the id of its picture."""
    origin.script("/cat", Reply(photo, headers=CATS))
    origin.script("/dog", Reply(photo, headers=CATS))
    old.get("/image/cat")
    record = unpack(held(store, key), key)
    dogs = record_key("dog", origin=origin.url)
    store.set(dogs, record_of_the_last_release(pack(record, key)), ex=600)
    assert told(old.get("/image/dog")) == "latentedge; fwd=uri-miss; stored; detail=damaged-record"
    assert unpack(held(store, dogs), dogs).image_id == "dog"
