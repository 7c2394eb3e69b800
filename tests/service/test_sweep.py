"""`latentedge refine` on a filled store: the records that it improves, their order, and the records that it skips."""

import json
from dataclasses import replace

import pytest

from models.bitstream import parse
from models.codec import Codec
from models.demoted_codec import DemotedCodec
from service.records.record import pack
from service.records.store_keys import generations_key
from tests.command_line import Shell
from tests.service.filled_cache import STEPS, TTL_S, FilledCache, refined, summary
from tests.service.paused import paused
from tests.service.scripted_origin import Reply

QUALITY = 20
LIMIT_S = 60


def test_a_better_latent_takes_the_place_of_the_stored_one(latentedge: Shell, cache: FilledCache) -> None:
    record = cache.put("cats/größe.jpg", tags=("cats",), generation=7)
    cache.origin.script("/cats/größe.jpg", Reply(cache.source))
    outcome = latentedge(*cache.arguments())
    assert summary(outcome) == {"keys": 1, "stored": 1}
    stored = cache.stored("cats/größe.jpg")
    assert stored.bitstream != record.bitstream
    assert stored == replace(record, bitstream=stored.bitstream, refinement=STEPS)
    assert TTL_S - 60 < cache.direct.ttl(cache.key("cats/größe.jpg")) <= TTL_S
    told = json.loads(outcome.out)
    assert (told["first_bytes"], told["refined_bytes"]) == (len(record.bitstream), len(stored.bitstream))


@pytest.mark.parametrize("policy", ["volatile-lfu", "allkeys-lru"])
def test_the_hottest_pictures_come_first(latentedge: Shell, cache: FilledCache, policy: str) -> None:
    cache.direct.config_set("maxmemory-policy", policy)
    for name, frequency in {"cold": 3, "hot": 200, "warm": 50}.items():
        if policy == "volatile-lfu":
            cache.put_used(name, frequency=frequency)
        else:
            cache.put_used(name, idletime=10_000 - frequency)
        cache.origin.script(f"/{name}", Reply(cache.source))
    assert refined(latentedge, cache) == {"keys": 3, "stored": 3}
    assert cache.asked() == ["hot", "warm", "cold"]


def test_a_sweep_does_not_count_as_a_use_of_keys(latentedge: Shell, cache: FilledCache) -> None:
    """Otherwise a sweep would make all pictures look equally hot to the store's eviction."""
    cache.put_used("cat", frequency=0, refinement=STEPS)
    assert refined(latentedge, cache) == {"keys": 1, "searched": 1}
    assert cache.direct.object("FREQ", cache.key("cat")) == 0


def test_a_second_run_skips_searched_latents(latentedge: Shell, cache: FilledCache) -> None:
    cache.put("cat")
    cache.put("dog")
    cache.origin.script("/cat", Reply(cache.source))
    cache.origin.script("/dog", Reply(status=503), Reply(cache.source))
    assert refined(latentedge, cache) == {"keys": 2, "stored": 1, "origin_failed": 1}
    assert refined(latentedge, cache) == {"keys": 2, "stored": 1, "searched": 1}
    assert refined(latentedge, cache) == {"keys": 2, "searched": 2}


def test_a_longer_search_than_the_last_one_is_run(latentedge: Shell, cache: FilledCache) -> None:
    cache.put("cat", refinement=STEPS)
    cache.origin.script("/cat", Reply(cache.source))
    assert refined(latentedge, cache, steps=STEPS + 1) == {"keys": 1, "stored": 1}
    assert cache.stored("cat").refinement == STEPS + 1  # and so the entity tag is another one


def test_a_changed_source_is_skipped(latentedge: Shell, cache: FilledCache) -> None:
    record = cache.put("cat")
    cache.origin.script("/cat", Reply(cache.source + b"\0"))
    assert refined(latentedge, cache) == {"keys": 1, "changed": 1}
    assert cache.stored("cat") == record


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(status=404), "origin_failed"),
        (Reply(status=500), "origin_failed"),
        (Reply(b"cut", missing_bytes=1), "origin_failed"),
        (Reply(b"no picture"), "changed"),
    ],
)
def test_an_origin_that_fails_is_counted_and_stops_nothing(
    latentedge: Shell, cache: FilledCache, reply: Reply, outcome: str
) -> None:
    cache.put("cat")
    cache.put("dog")
    cache.origin.script("/cat", reply)
    cache.origin.script("/dog", Reply(cache.source))
    assert refined(latentedge, cache) == {"keys": 2, outcome: 1, "stored": 1}


def test_other_records_are_skipped_and_counted(latentedge: Shell, cache: FilledCache) -> None:
    cache.put("older", image_id="")
    cache.put("weights", stream_id=b"\0\0\0\0")
    cache.put("dog", image_id="cat")
    cache.direct.set(b"p:{damaged}", pack(cache.record("x"), b"p:{damaged}")[:-1])
    cache.direct.rpush(b"p:{list}", "of someone else")
    before = {key: cache.direct.dump(key) for key in cache.direct.scan_iter()}
    expected = {"keys": 5, "without_id": 1, "foreign": 1, "other_origin": 1, "damaged": 2}
    assert refined(latentedge, cache) == expected
    assert {key: cache.direct.dump(key) for key in cache.direct.scan_iter()} == before


def test_demoted_records_are_skipped(latentedge: Shell, cache: FilledCache) -> None:
    codec = Codec.load()
    medium = DemotedCodec.load(codec).demote(cache.bitstream, quality=QUALITY)
    record = cache.put("cat", bitstream=medium, stream_id=parse(medium).stream_id)
    assert refined(latentedge, cache) == {"keys": 1, "demoted": 1}
    assert cache.stored("cat") == record


def test_pictures_purged_by_tag_are_skipped(latentedge: Shell, cache: FilledCache) -> None:
    cache.put("cat", tags=("cats",), generation=5)
    cache.put("dog", tags=("dogs",), generation=5)
    cache.direct.hset(generations_key(cache.origin.url), mapping={"latest": 6, "hard:cats": 6})
    cache.origin.script("/dog", Reply(cache.source))
    assert refined(latentedge, cache) == {"keys": 2, "purged": 1, "stored": 1}


def test_each_picture_keeps_its_target_score(
    latentedge: Shell, cache: FilledCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_QUALITY", "auto:100")
    record = cache.put("cat")
    cache.origin.script("/cat", Reply(cache.source))
    assert refined(latentedge, cache) == {"keys": 1, "unchanged": 1}
    assert cache.stored("cat") == replace(record, refinement=STEPS)
    assert refined(latentedge, cache) == {"keys": 1, "searched": 1}


def test_a_store_that_does_not_answer_is_reported_in_one_line(
    latentedge: Shell, cache: FilledCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_STORE_TIMEOUT_S", "0.5")
    with paused(cache.store):
        outcome = latentedge(*cache.arguments())
    assert outcome.code == 2
    # The outage of the store is logged before, where logging is set up.
    assert outcome.err.splitlines()[-1].startswith("latentedge refine: the store does not answer: ")
    assert "Traceback" not in outcome.err
