"""Stale pictures: validated, shown meanwhile, shown instead of an error, and never more than the origin allows."""

import asyncio
import io
import threading
import time
from dataclasses import replace

import httpx
import pytest
import redis
from PIL import Image
from skimage import data

from service.records.renewal import merge
from service.records.staleness import Use, may_stand_in, use_of
from service.records.store_keys import record_key
from service.rules.freshness import FreshnessRules, Storage, storage
from service.rules.http_date import http_date
from service.rules.response_fields import PassedOn, ResponseFields
from tests.service.held_encodes import LIMIT_S, held_encodes
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.shelf import Shelf
from tests.service.stored import emptied, stored_keys
from tests.service.test_record import SAMPLE
from tests.service.test_refinement_stories import writes_to
from tests.service.varying import under_way

MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
BRIEF = {"Cache-Control": "max-age=600", "ETag": '"v1"', "Last-Modified": MODIFIED}
NOW_S = 1_795_000_000.0


@pytest.mark.parametrize(
    ("clause", "control", "expected"),
    [
        ("5861 3", "max-age=5", Storage(5, None, 60, 70)),
        ("5861 3", "max-age=5, stale-while-revalidate=9", Storage(5, None, 9, 70)),
        ("5861 4", "max-age=5, stale-if-error=9", Storage(5, None, 60, 9)),
        ("5861 3", "max-age=5, stale-while-revalidate=x, stale-if-error=0", Storage(5, None, 0, 0)),
        ("9111 5.2.2.2", "max-age=5, must-revalidate, stale-if-error=9", Storage(5)),
        ("9111 5.2.2.8", "max-age=5, proxy-revalidate", Storage(5)),
        ("9111 5.2.2.10", "s-maxage=5", Storage(5)),
        ("5861 3", "s-maxage=5, stale-while-revalidate=9", Storage(5, None, 9, 0)),
        ("9111 5.2.2.4", "max-age=5, no-cache", Storage(0)),
        ("9111 4.2.1", "max-age=0", Storage(0, None, 60, 70)),
    ],
)
def test_how_long_a_stale_picture_may_be_used(clause: str, control: str, expected: Storage) -> None:
    rules = FreshnessRules(default_ttl_s=600, stale_while_revalidate_s=60, stale_if_error_s=70)
    said = ResponseFields(asked_s=NOW_S, answered_s=NOW_S, passed=PassedOn(cache_control=control), etag='"v1"')
    assert storage(said, rules) == expected, f"RFC {clause}: {control}"


@pytest.mark.parametrize(
    ("age_s", "use", "stands_in"),
    [
        (99, Use.FRESH, True),
        (100, Use.WHILE_REVALIDATING, True),
        (109, Use.WHILE_REVALIDATING, True),
        (110, Use.AFTER_VALIDATION, True),
        (119, Use.AFTER_VALIDATION, True),
        (120, Use.AFTER_VALIDATION, False),
    ],
)
def test_what_a_record_is_good_for(age_s: int, use: Use, *, stands_in: bool) -> None:
    record = replace(SAMPLE, born_ms=0, lifetime_s=100, stale_while_revalidate_s=10, stale_if_error_s=20)
    assert use_of(record, now_s=age_s) is use
    assert may_stand_in(record, now_s=age_s) is stands_in


def test_a_304_replaces_what_it_says_and_leaves_the_rest() -> None:
    """RFC 9111 3.2."""
    said = ResponseFields(asked_s=NOW_S, answered_s=NOW_S, passed=PassedOn(cache_control="max-age=7"))
    fields = merge(SAMPLE, said)
    assert fields.passed == replace(SAMPLE.passed, cache_control="max-age=7")
    assert fields.etag == SAMPLE.origin_etag


def encodes(edge: RunningEdge) -> float:
    return edge.metric('edge_stage_seconds_count{stage="encode"}')


def told(answer: httpx.Response) -> str:
    return answer.headers["cache-status"].partition("; ttl=")[0]


def test_a_304_of_the_origin_renews_the_dates_and_encodes_nothing(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
) -> None:
    news = {"Cache-Control": "max-age=300", "Date": http_date(time.time()), "ETag": '"v1"'}
    origin.script("/cat", Reply(photo, headers=BRIEF), Reply(status=304, headers=news))
    first = edge.get("/image/cat?res=medium")
    shelf.age(601)
    before, encoded = shelf.record, encodes(edge)
    second = edge.get("/image/cat?res=medium")
    assert told(second) == "latentedge; fwd=stale; fwd-status=304; stored"
    asked = origin.requests[-1].headers
    assert (asked["If-None-Match"], asked["If-Modified-Since"]) == ('"v1"', MODIFIED)
    assert second.content == first.content
    assert second.headers["etag"] == first.headers["etag"]
    assert second.headers["cache-control"] == "max-age=300"
    assert second.headers["date"] == news["Date"]
    assert second.headers["last-modified"] == MODIFIED
    after = shelf.record
    assert after.bitstream == before.bitstream
    assert after.lifetime_s == 300
    assert 290 <= shelf.ttl_s() - edge.settings.sie_s <= 300
    assert encodes(edge) == encoded
    assert edge.metric('edge_cache_requests_total{res="medium",status="revalidated"}') >= 1
    third = edge.get("/image/cat?res=medium")
    assert told(third) == "latentedge; hit"
    assert third.headers["cache-control"] == "max-age=300"


def test_the_same_file_renews_the_dates_too(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
) -> None:
    """An origin without validators, or one that makes new ones for nothing."""
    news = {"Cache-Control": "max-age=300", "ETag": '"v2"'}
    origin.script("/cat", Reply(photo, headers=BRIEF), Reply(photo, headers=news))
    first = edge.get("/image/cat")
    shelf.age(601)
    encoded = encodes(edge)
    second = edge.get("/image/cat")
    assert told(second) == "latentedge; fwd=stale; fwd-status=200; stored"
    assert (second.content, second.headers["etag"]) == (first.content, first.headers["etag"])
    assert "last-modified" not in second.headers
    assert encodes(edge) == encoded
    assert shelf.record.origin_etag == '"v2"'
    assert told(edge.get("/image/cat")) == "latentedge; hit"


def test_a_changed_picture_takes_the_place_of_the_old(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
) -> None:
    other = io.BytesIO()
    Image.fromarray(data.chelsea()).save(other, "PNG")  # type: ignore[no-untyped-call]
    origin.script("/cat", Reply(photo, headers=BRIEF), Reply(other.getvalue(), headers={**BRIEF, "ETag": '"v2"'}))
    first = edge.get("/image/cat")
    shelf.age(601)
    second = edge.get("/image/cat", headers={"If-None-Match": first.headers["etag"]})
    assert second.status_code == 200
    assert told(second) == "latentedge; fwd=stale; fwd-status=200; stored"
    assert second.headers["etag"] != first.headers["etag"]
    assert told(edge.get("/image/cat")) == "latentedge; hit"


def test_a_clients_condition_is_judged_after_the_validation(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
) -> None:
    origin.script("/cat", Reply(photo, headers=BRIEF), Reply(status=304))
    first = edge.get("/image/cat")
    shelf.age(601)
    second = edge.get("/image/cat", headers={"If-None-Match": first.headers["etag"]})
    assert (second.status_code, second.content) == (304, b"")
    assert origin.requests[-1].headers["If-None-Match"] == '"v1"'


def test_no_cache_is_stored_and_validated_on_each_use(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
) -> None:
    """RFC 9111 5.2.2.4."""
    said = {"Cache-Control": "no-cache, max-age=600", "ETag": '"v1"'}
    origin.script("/cat", Reply(photo, headers=said), *[Reply(status=304)] * 2, Reply(status=503))
    assert "stored" in edge.get("/image/cat").headers["cache-status"]
    encoded = encodes(edge)
    for _ in range(2):
        assert told(edge.get("/image/cat")) == "latentedge; fwd=stale; fwd-status=304; stored"
    assert edge.get("/image/cat").status_code == 503
    assert encodes(edge) == encoded
    assert shelf.record.stale_if_error_s == 0


@pytest.mark.parametrize("control", ["no-cache", "max-age=0", "max-age=0, must-revalidate"])
def test_a_request_that_comes_while_such_a_picture_is_encoded_needs_a_validation_too(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, control: str
) -> None:
    """RFC 9111 4: the origin's answer was there before it."""
    said = {"Cache-Control": control, "ETag": '"v1"'}
    origin.script("/cat", Reply(photo, headers=said), Reply(status=304))
    with held_encodes() as held, under_way(edge, {}) as first:
        assert held.begun.wait(LIMIT_S)
        with under_way(edge, {}) as second:
            held.may_go_on.set()
    assert told(first[0]) == "latentedge; fwd=uri-miss; stored"
    assert told(second[0]) == "latentedge; fwd=stale; fwd-status=304; stored"


def test_a_stale_picture_is_shown_at_once_while_one_request_validates_it(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, store: redis.Redis
) -> None:
    said = {**BRIEF, "Cache-Control": "max-age=600, stale-while-revalidate=60"}
    validation = Reply(status=304, headers=said, gate=threading.Event())
    origin.script("/cat", Reply(photo, headers=said), validation)
    first = edge.get("/image/cat?res=medium")
    shelf.age(610)
    shown = edge.metric('edge_cache_requests_total{res="medium",status="stale"}')
    with writes_to(store, record_key("cat", origin=origin.url)) as written:
        for _ in range(5):
            answer = edge.get("/image/cat?res=medium")
            assert answer.content == first.content
            assert answer.headers["cache-status"].startswith("latentedge; hit; ttl=-1")
            assert answer.headers["cache-status"].endswith("; detail=stale-while-revalidate")
            assert int(answer.headers["age"]) >= 610
        assert validation.arrived.wait(60)
        assert validation.gate is not None
        validation.gate.set()
        written()
    assert edge.metric('edge_cache_requests_total{res="medium",status="stale"}') == shown + 5
    assert told(edge.get("/image/cat?res=medium")) == "latentedge; hit"


def test_a_herd_that_finds_a_stale_picture_makes_one_request(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
) -> None:
    validation = Reply(status=304, headers=BRIEF, gate=threading.Event())
    origin.script("/cat", Reply(photo, headers=BRIEF), validation)
    edge.get("/image/cat")
    shelf.age(601)
    edge.arrivals.reset()

    async def herd() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=edge.url, timeout=120, limits=limits, trust_env=False) as client:
            tasks = [asyncio.create_task(client.get("/image/cat?res=medium")) for _ in range(50)]
            await asyncio.to_thread(edge.arrivals.wait_for, 50)
            assert validation.gate is not None
            validation.gate.set()
            return await asyncio.gather(*tasks)

    answers = asyncio.run(herd())
    assert {answer.status_code for answer in answers} == {200}
    assert sum("fwd-status=304; stored" in answer.headers["cache-status"] for answer in answers) == 1


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Reply(status=500), "; fwd-status=500"),
        (Reply(status=503), "; fwd-status=503"),
        (Reply(bytes(5000), missing_bytes=1000), ""),
        (Reply(status=302, headers={"Location": "http://elsewhere.example/"}), ""),
    ],
)
def test_a_stale_picture_is_better_than_an_error(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, failure: Reply, status: str
) -> None:
    origin.script("/cat", Reply(photo, headers=BRIEF), failure, Reply(status=304))
    first = edge.get("/image/cat?res=medium")
    shelf.age(700)
    stale = edge.get("/image/cat?res=medium")
    assert stale.status_code == 200
    assert stale.content == first.content
    assert told(stale) == f"latentedge; fwd=stale{status}"
    assert stale.headers["cache-status"].endswith("; detail=stale-if-error")
    assert int(stale.headers["age"]) >= 700
    assert "fwd-status=304" in edge.get("/image/cat?res=medium").headers["cache-status"]


@pytest.mark.parametrize(
    ("control", "age_s"),
    [
        ("max-age=600, must-revalidate", 601),
        ("max-age=600, proxy-revalidate", 601),
        ("s-maxage=600", 601),
        ("max-age=600, stale-if-error=60", 661),
        ("max-age=600, stale-if-error=0", 601),
    ],
)
def test_what_the_origin_forbids_is_not_shown(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, control: str, age_s: int
) -> None:
    origin.script("/cat", Reply(photo, headers={"Cache-Control": control}), Reply(status=503))
    edge.get("/image/cat")
    shelf.age(age_s)
    assert edge.get("/image/cat").status_code == 503


def test_what_may_no_longer_be_stored_does_not_stand_in_for_an_error(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, store: redis.Redis
) -> None:
    private = Reply(photo, headers={"Cache-Control": "private"})
    origin.script("/cat", Reply(photo, headers=BRIEF), private, Reply(status=503))
    edge.get("/image/cat")
    shelf.age(601)
    assert "detail=private" in edge.get("/image/cat").headers["cache-status"]
    assert stored_keys(store) == []
    assert edge.get("/image/cat").status_code == 503


def test_what_was_evicted_meanwhile_does_not_come_back(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, store: redis.Redis
) -> None:
    validation = Reply(status=304, gate=threading.Event())
    origin.script("/cat", Reply(photo, headers=BRIEF), validation)
    edge.get("/image/cat")
    shelf.age(601)

    async def validated() -> httpx.Response:
        async with httpx.AsyncClient(base_url=edge.url, timeout=60, trust_env=False) as client:
            asking = asyncio.create_task(client.get("/image/cat"))
            await asyncio.to_thread(validation.arrived.wait, 60)
            emptied(store)
            assert validation.gate is not None
            validation.gate.set()
            return await asking

    answer = asyncio.run(validated())
    assert (answer.status_code, told(answer)) == (200, "latentedge; fwd=stale; fwd-status=304")
    assert not stored_keys(store)


def test_a_better_latent_that_came_meanwhile_is_kept(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
) -> None:
    validation = Reply(status=304, gate=threading.Event())
    origin.script("/cat", Reply(photo, headers=BRIEF), validation)
    edge.get("/image/cat")
    shelf.age(601)

    async def validated() -> None:
        async with httpx.AsyncClient(base_url=edge.url, timeout=60, trust_env=False) as client:
            asking = asyncio.create_task(client.get("/image/cat"))
            await asyncio.to_thread(validation.arrived.wait, 60)
            shelf.age(0, refinement=9)
            assert validation.gate is not None
            validation.gate.set()
            assert told(await asking) == "latentedge; fwd=stale; fwd-status=304; stored"

    asyncio.run(validated())
    assert shelf.record.refinement == 9
    assert told(edge.get("/image/cat")) == "latentedge; hit"


def test_a_fill_after_a_purge_is_not_overwritten_by_a_validation_from_before(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
) -> None:
    validation = Reply(status=304, gate=threading.Event())
    origin.script("/cat", Reply(photo, headers=BRIEF), validation)
    edge.get("/image/cat")
    shelf.age(601)
    later = shelf.record.generation + 1

    async def validated() -> None:
        async with httpx.AsyncClient(base_url=edge.url, timeout=60, trust_env=False) as client:
            asking = asyncio.create_task(client.get("/image/cat"))
            await asyncio.to_thread(validation.arrived.wait, 60)
            shelf.age(-601, generation=later)
            assert validation.gate is not None
            validation.gate.set()
            assert told(await asking) == "latentedge; fwd=stale; fwd-status=304"

    asyncio.run(validated())
    assert shelf.record.generation == later
    assert told(edge.get("/image/cat")) == "latentedge; hit"


def test_a_damaged_bitstream_that_was_confirmed_is_made_anew(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
) -> None:
    origin.script("/cat", Reply(photo, headers=BRIEF), Reply(status=304), Reply(photo, headers=BRIEF))
    right = edge.get("/image/cat?res=medium")
    bitstream = bytearray(shelf.record.bitstream)
    bitstream[len(bitstream) // 2] ^= 0x10
    shelf.age(601, bitstream=bytes(bitstream))
    answer = edge.get("/image/cat?res=medium")
    assert answer.content == right.content
    assert answer.headers["cache-status"].endswith("; detail=damaged-record")
