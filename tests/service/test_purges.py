"""The purge table decides which records are purged, as a pure function and in a real Valkey."""

import asyncio
from dataclasses import replace

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from service.records.purge_table import PurgeTable, field_of
from service.records.staleness import Use, use_of
from service.rules.cache_tags import TAG_CAP_BYTES, TAGS_CAP, is_tag, read_tags, tags_fit, write_tags
from service.store import generation_store
from service.store.connection import Connection
from service.store.embedded import EmbeddedValkey
from service.store.generation_store import GenerationStore
from tests.service.test_record import SAMPLE
from tests.service.test_store import TIMEOUTS, Alarms

RECORD = replace(SAMPLE, generation=100, tags=("cats", "photo:7"), born_ms=0, lifetime_s=600)
BARE = replace(RECORD, tags=())


@pytest.mark.parametrize(
    ("table", "removed", "bare_removed"),
    [
        ({}, False, False),
        ({"latest": 200}, False, False),
        ({"hard": 100}, False, False),
        ({"hard": 101}, True, True),
        ({"soft": 101}, False, False),
        ({"hard:cats": 101}, True, False),
        ({"hard:photo:7": 101}, True, False),
        ({"hard:cats": 100, "hard:dogs": 101}, False, False),
        ({"soft:cats": 101}, False, False),
        ({"hard-floor": 101}, True, False),
        ({"hard-floor": 99}, False, False),
    ],
)
def test_purged_records_count_as_absent(table: dict[str, int], *, removed: bool, bare_removed: bool) -> None:
    assert PurgeTable(table).has_removed(RECORD) is removed
    assert PurgeTable(table).has_removed(BARE) is bare_removed


@pytest.mark.parametrize(
    ("table", "lifetime_s"),
    [
        ({"soft": 100}, 600),
        ({"soft": 5_000}, 5),
        ({"soft:cats": 5_000, "soft:photo:7": 7_000}, 7),
        ({"soft:dogs": 5_000}, 600),
        ({"soft-floor": 5_000}, 5),
        ({"soft": 900_000}, 600),
        ({"hard": 5_000}, 600),
    ],
)
def test_when_a_record_became_stale(table: dict[str, int], lifetime_s: int) -> None:
    assert PurgeTable(table).apply(RECORD, now_s=1e6) == replace(RECORD, lifetime_s=lifetime_s)


def test_a_record_from_a_clock_ahead_is_stale_at_once_after_a_soft_purge() -> None:
    born_later = replace(RECORD, born_ms=9_000)
    assert PurgeTable({"soft": 5_000}).apply(born_later, now_s=1e6).lifetime_s == 0


def test_a_soft_purge_by_a_clock_that_is_ahead_counts_at_once() -> None:
    judged = PurgeTable({"soft": 90_000}).apply(replace(RECORD, stale_while_revalidate_s=0), now_s=5.5)
    assert use_of(judged, now_s=5.5) is Use.AFTER_VALIDATION


@pytest.mark.parametrize(
    ("cache_tag", "surrogate_key", "tags"),
    [
        ("", "", ()),
        ("cats", "", ("cats",)),
        ("cats, dogs ,,cats", "", ("cats", "dogs")),
        ("two words", "", ("two words",)),
        ("", "a  b\ta", ("a", "b")),
        ("a,b", "b c", ("a", "b", "c")),
        ("", "a,b", ("a,b",)),
        ("Cats,cats", "", ("Cats", "cats")),
    ],
)
def test_tags_are_read(cache_tag: str, surrogate_key: str, tags: tuple[str, ...]) -> None:
    assert read_tags(cache_tag=cache_tag, surrogate_key=surrogate_key) == tags


@given(st.text(), st.text())
def test_the_next_tier_reads_the_same_tags(cache_tag: str, surrogate_key: str) -> None:
    tags = read_tags(cache_tag=cache_tag, surrogate_key=surrogate_key)
    if tags_fit(tags):
        fields = write_tags(tags)
        again = read_tags(cache_tag=fields.get("Cache-Tag", ""), surrogate_key=fields.get("Surrogate-Key", ""))
        assert sorted(again) == sorted(tags)


@pytest.mark.parametrize(
    ("tags", "fit"),
    [
        (tuple(str(number) for number in range(TAGS_CAP)), True),
        (tuple(str(number) for number in range(TAGS_CAP + 1)), False),
        (("x" * TAG_CAP_BYTES,), True),
        (("x" * (TAG_CAP_BYTES + 1),), False),
        (("caf\xe9",), False),
        (("a\x01",), False),
    ],
)
def test_tags_that_a_record_can_hold(tags: tuple[str, ...], *, fit: bool) -> None:
    assert tags_fit(tags) is fit


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "\xe9"])
def test_invalid_tags(name: str) -> None:
    assert not is_tag(name)


KEY = b"g:test"


async def purged(store: GenerationStore, *tags: str) -> list[int]:
    return [await store.advance(field_of(tag, soft=False)) for tag in tags]


def told(valkey: EmbeddedValkey, *tags: str) -> tuple[list[int], dict[str, int]]:
    async def story() -> tuple[list[int], dict[str, int]]:
        connection = Connection(valkey.url, timeouts=TIMEOUTS, observer=Alarms())
        store = GenerationStore(connection, KEY)
        try:
            return await purged(store, *tags), await store.table()
        finally:
            await connection.close()

    return asyncio.run(story())


def test_a_generation_is_the_time_and_never_falls(valkey: EmbeddedValkey) -> None:
    (first, second), table = told(valkey, "a", "a")
    with redis.Redis.from_url(valkey.url) as direct:
        now_s, _ = direct.time()
        assert now_s - 60 < first / 1000 <= now_s + 1
        assert first < second == table["hard:a"] == table["latest"]
        ahead = (now_s + 3600) * 1000
        direct.hset(KEY, "latest", ahead)
        (third,), _ = told(valkey, "b")
        assert third == ahead + 1
        assert direct.ttl(KEY) == -1


def test_the_table_is_bounded_and_dropped_tags_stay_purged(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_store, "FIELDS_CAP", 8)
    generations, table = told(valkey, *(f"t{number}" for number in range(40)))
    assert len(table) <= 9
    for number, generation in enumerate(generations):
        before = replace(RECORD, tags=(f"t{number}",), generation=generation - 1)
        assert PurgeTable(table).has_removed(before)
    last = replace(RECORD, tags=("t39",), generation=generations[39])
    assert not PurgeTable(table).has_removed(last)
    assert not PurgeTable(table).has_removed(replace(BARE, generation=0))
