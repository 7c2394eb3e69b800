"""Negative caching: which errors of the origin are cached, for how long, and that they replace no newer picture."""

import asyncio
import threading
import time
from dataclasses import replace

import httpx
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from service.errors import DamagedRecord, RecordError, RecordOfOthers, SettingsError
from service.records.framing import BINDING, PREFIX, key_digest
from service.records.negative_entry import NegativeEntry, pack_negative_entry, unpack_negative_entry
from service.records.store_keys import record_key
from service.rules.error_fields import NO_ERROR_FIELDS, ErrorFields
from service.rules.freshness import FreshnessRules, negative_lifetime_s
from service.rules.http_date import http_date
from service.rules.negative_ttls import NegativeTtls, read_negative_ttls
from service.rules.response_fields import PassedOn, ResponseFields
from service.settings.edge_settings import read_settings
from tests.service.releases import newer, reframed
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin

RULES = FreshnessRules(default_ttl_s=600, min_ttl_s=30, negative_ttls=read_negative_ttls("404=60,5xx=2,501=9"))


@pytest.mark.parametrize(
    ("clause", "status", "control", "expected_s"),
    [
        ("9111 4.2.2", 404, "", 60),
        ("9111 4.2.2", 410, "", 0),
        ("9111 4.2.2", 500, "", 2),
        ("9111 4.2.2", 501, "", 9),
        ("9111 4.2.1", 404, "max-age=5", 5),
        ("9111 4.2.1", 410, "max-age=5", 5),
        ("9111 4.2.1", 599, "s-maxage=7, max-age=5", 7),
        ("9111 4.2.1", 404, "max-age=0", 0),
        ("9111 5.2.2.5", 404, "no-store, max-age=5", 0),
        ("9111 5.2.2.7", 404, "private, max-age=5", 0),
        ("9111 5.2.2.4", 404, "no-cache", 0),
        ("9111 5.2.2.3", 404, "no-store, must-understand, max-age=5", 5),
        ("9111 5.2.2.3", 599, "must-understand, max-age=5", 0),
        ("6585 4", 429, "max-age=5", 0),
        ("6585 6", 511, "max-age=5", 0),
    ],
)
def test_the_lifetime_of_an_error(clause: str, status: int, control: str, expected_s: int) -> None:
    said = ResponseFields(asked_s=0, answered_s=0, passed=PassedOn(cache_control=control))
    assert negative_lifetime_s(status, said, RULES) == expected_s, f"RFC {clause}"


@pytest.mark.parametrize(
    ("clause", "status", "control", "ttls", "expected_s"),
    [
        ("9110 15.1", 204, "", "500=1", 8640),
        ("9110 15.1", 301, "", "500=1", 8640),
        ("9110 15.1", 302, "", "500=1", 0),
        ("9110 15.1", 404, "", "500=1", 8640),
        ("9110 15.1", 405, "", "500=1", 8640),
        ("9110 15.1", 410, "", "500=1", 8640),
        ("9110 15.1", 414, "", "500=1", 8640),
        ("9110 15.1", 501, "", "500=1", 8640),
        ("9110 15.1", 403, "", "500=1", 0),
        ("9110 15.1", 502, "", "500=1", 0),
        ("9110 15.1", 503, "", "500=1", 0),
        ("9110 15.1", 504, "", "500=1", 0),
        ("9110 15.1", 599, "", "500=1", 0),
        ("9111 4.2.2", 599, "public", "500=1", 8640),
        ("9111 4.2.2", 599, "public", "599=2", 2),
        ("9111 4.2.2", 404, "", "404=60", 60),
        ("9111 4.2.2", 404, "", "404=0", 0),
        ("9111 4.2.2", 404, "", "0", 0),
        ("9111 4.2.2", 404, "max-age=5", "500=1", 5),
    ],
)
def test_an_error_without_a_lifetime_gets_a_heuristic_one(
    clause: str, status: int, control: str, ttls: str, expected_s: int
) -> None:
    rules = FreshnessRules(default_ttl_s=600, heuristic_fraction=0.1, negative_ttls=read_negative_ttls(ttls))
    passed = PassedOn(cache_control=control, last_modified=http_date(0))
    said = ResponseFields(asked_s=86_400, answered_s=86_400, passed=passed)
    assert negative_lifetime_s(status, said, rules) == expected_s, f"RFC {clause}"
    assert negative_lifetime_s(status, said, replace(rules, heuristic_fraction=0.0)) < 8640


def test_an_error_that_varies_is_not_cached() -> None:
    """RFC 9111 4.1."""
    said = ResponseFields(asked_s=0, answered_s=0, passed=PassedOn(vary="Cookie"))
    assert negative_lifetime_s(404, said, RULES) == 0


@pytest.mark.parametrize("text", ["404=60,410=60", "5xx=2", "0", "4xx=1,404=100"])
def test_the_setting_is_read_as_it_is_written(text: str) -> None:
    settings = read_settings(origin="http://origin.example", negative_ttl_s=text)
    assert settings.environment()["EDGE_NEGATIVE_TTL_S"] == text
    assert read_settings(origin="http://origin.example", negative_ttl_s=settings.negative_ttl_s) == settings


@pytest.mark.parametrize(
    "text", ["60", "404", "404=", "404=-1", "200=5", "6xx=1", "404=1,404=2", "404=1,", "404=99999999999"]
)
def test_other_settings_are_faults(text: str) -> None:
    with pytest.raises(SettingsError, match="EDGE_NEGATIVE_TTL_S"):
        read_settings(origin="http://origin.example", negative_ttl_s=text)


def test_a_status_counts_before_its_class() -> None:
    ttls = NegativeTtls((("4xx", 1), ("404", 100)))
    assert [ttls.of(status) for status in (404, 410, 500)] == [100, 1, None]


SAMPLE = NegativeEntry(
    status=404,
    born_ms=1_700_000_000_123,
    lifetime_s=60,
    generation=1_795_000_000_123,
    passed=PassedOn(cache_control="max-age=60", date="Tue, 14 Nov 2023 22:13:20 GMT", vary="Accept"),
)
KEY = record_key("cat", origin="http://o")
GOLDEN = bytes.fromhex(
    "4c456e03a63435e13eab8aea2b16127700000000018bcfe5687b0000003c0194000001a1ee565e7b000a00000000001d0000"
    "00066d61782d6167653d36305475652c203134204e6f7620323032332032323a31333a323020474d54416363657074"
)
GOLDEN_OF_VERSION_2 = bytes.fromhex(
    "4c456e0284e2079b0000018bcfe5687b0000003c0194000001a1ee565e7b000a00000000001d000000066d61782d6167653d"
    "36305475652c203134204e6f7620323032332032323a31333a323020474d54416363657074"
)


CHALLENGES = ErrorFields(retry_after="7", www_authenticate='Basic realm="a: b", Bearer', allow="")


@pytest.mark.parametrize("said", [NO_ERROR_FIELDS, CHALLENGES, ErrorFields(allow="PUT, DELETE")])
def test_a_negative_entry_survives_packing_and_damage_is_detected(said: ErrorFields) -> None:
    refusal = replace(SAMPLE, error_fields=said)
    packed = pack_negative_entry(refusal, KEY)
    assert unpack_negative_entry(packed, KEY) == refusal
    for length in range(len(packed)):
        with pytest.raises(DamagedRecord):
            unpack_negative_entry(packed[:length], KEY)
    for position in range(len(packed)):
        damaged = bytearray(packed)
        damaged[position] ^= 0x10
        with pytest.raises(DamagedRecord):
            unpack_negative_entry(bytes(damaged), KEY)


def test_the_bytes_of_a_negative_entry_are_those_of_version_3_and_version_2_is_read() -> None:
    assert pack_negative_entry(SAMPLE, KEY) == GOLDEN
    assert unpack_negative_entry(GOLDEN_OF_VERSION_2, KEY) == SAMPLE


@given(st.binary(max_size=100), st.integers(0, 255))
def test_fields_of_a_negative_entry_are_checked_even_if_the_checksum_is_right(noise: bytes, version: int) -> None:
    framed = PREFIX.pack(b"LEn", version, 0) + BINDING.pack(key_digest(KEY), 0) + noise
    with pytest.raises(RecordError):
        unpack_negative_entry(reframed(framed, version=version), KEY)


def test_a_negative_entry_is_bound_to_its_key_and_a_newer_one_is_foreign() -> None:
    with pytest.raises(DamagedRecord, match="another key"):
        unpack_negative_entry(GOLDEN, b"p:{another}")
    with pytest.raises(RecordOfOthers):
        unpack_negative_entry(newer(GOLDEN), KEY)


def test_an_error_with_long_fields_is_not_cached() -> None:
    assert CHALLENGES.can_be_kept
    assert not ErrorFields(www_authenticate="Basic " * 500).can_be_kept
    assert not ErrorFields(retry_after="\u00e4").can_be_kept


@pytest.mark.parametrize(
    ("status", "name", "value"),
    [
        (401, "WWW-Authenticate", 'Basic realm="x", Bearer'),
        (405, "Allow", "PUT, DELETE"),
        (405, "Allow", ""),
        (429, "Retry-After", "7"),
        (503, "Retry-After", "Fri, 31 Dec 2999 23:59:59 GMT"),
        (301, "Retry-After", "7"),
    ],
)
@pytest.mark.parametrize("control", ["no-store", "max-age=600"])
def test_the_fields_of_an_error_reach_the_client(
    edge: RunningEdge, origin: ScriptedOrigin, *, status: int, name: str, value: str, control: str
) -> None:
    """RFC 9110 15.5.2, 15.5.6 and 10.2.3; also from a negative cache entry (RFC 9111 3.1)."""
    remembered = control != "no-store" and status != 429
    reply = Reply(status=status, headers={name: value, "Cache-Control": control})
    origin.script("/error", *[reply] * (1 if remembered else 2))
    for answer in (edge.get("/image/error"), edge.get("/image/error?res=medium")):
        assert (answer.status_code, answer.headers[name]) == (status, value)


@pytest.mark.parametrize("name", ["Upgrade", "Proxy-Authenticate", "Set-Cookie", "Location"])
def test_the_connection_fields_of_an_error_do_not_reach_the_client(
    edge: RunningEdge, origin: ScriptedOrigin, name: str
) -> None:
    origin.script("/error", Reply(status=426, headers={name: "x"}))
    assert name not in edge.get("/image/error").headers


@pytest.mark.parametrize("held", [b"garbage", b"LEr\x03" + bytes(40)])
def test_an_error_replaces_a_record_that_cannot_be_read(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, held: bytes
) -> None:
    """Otherwise each request for a picture that is gone would ask the origin until the damaged record expires."""
    store.set(record_key("gone", origin=origin.url), held)
    origin.script("/gone", Reply(status=404))
    first, second = (edge.get("/image/gone") for _ in range(2))
    assert first.headers["cache-status"] == "latentedge; fwd=uri-miss; fwd-status=404; detail=damaged-record"
    assert second.headers["cache-status"].startswith("latentedge; hit; ttl=")


@pytest.mark.parametrize("status", [404, 410])
def test_a_404_or_410_is_fetched_once(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, status: int
) -> None:
    origin.script("/gone", Reply(status=status))
    first, second, third = (edge.get(f"/image/gone?res={res}") for res in ("high", "high", "medium"))
    assert {answer.status_code for answer in (first, second, third)} == {status}
    assert first.headers["cache-status"] == f"latentedge; fwd=uri-miss; fwd-status={status}"
    for answer in (second, third):
        assert answer.headers["cache-status"].startswith("latentedge; hit; ttl=")
        assert answer.headers["cache-control"] == "no-store"
        assert int(answer.headers["age"]) < 60
        assert answer.headers["vary"] == "Accept"
        assert answer.json() == first.json()
    assert 50 <= store.ttl(record_key("gone", origin=origin.url)) <= 60


def test_the_origin_decides_the_lifetime_of_its_errors(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    said = {"Cache-Control": "max-age=600", "Age": "101", "Date": http_date(time.time()), "Last-Modified": http_date(0)}
    origin.script("/down", Reply(status=503, headers=said))
    origin.script("/gone", *[Reply(status=404, headers={"Cache-Control": "no-cache"})] * 2)
    origin.script("/oops", *[Reply(status=500)] * 2)
    for path in ("down", "gone", "oops"):
        edge.get(f"/image/{path}")
    again = {path: edge.get(f"/image/{path}") for path in ("down", "gone", "oops")}
    assert again["down"].headers["cache-status"].startswith("latentedge; hit; ttl=4")
    assert again["down"].headers["cache-control"] == "max-age=600"
    assert again["down"].headers["date"] == said["Date"]
    assert again["down"].headers["last-modified"] == said["Last-Modified"]
    assert int(again["down"].headers["age"]) >= 100
    assert all("fwd=uri-miss" in again[path].headers["cache-status"] for path in ("gone", "oops"))


def test_an_error_never_takes_the_place_of_a_picture(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    """Another edge stores the picture while this one waits for the error."""
    refusing = Reply(status=404, gate=threading.Event())
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=600"}), refusing)
    key = record_key("cat", origin=origin.url)
    edge.get("/image/cat")
    picture = store.get(key)
    assert isinstance(picture, bytes)
    store.delete(key)

    async def refused() -> httpx.Response:
        async with httpx.AsyncClient(base_url=edge.url, timeout=60, trust_env=False) as client:
            asking = asyncio.create_task(client.get("/image/cat"))
            await asyncio.to_thread(refusing.arrived.wait, 60)
            store.set(key, picture, ex=600)
            assert refusing.gate is not None
            refusing.gate.set()
            return await asking

    assert asyncio.run(refused()).status_code == 404
    assert store.get(key) == picture
    assert edge.get("/image/cat").status_code == 200


def test_a_picture_takes_the_place_of_an_error(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/cat", Reply(status=404), Reply(photo, headers={"Cache-Control": "max-age=600"}))
    edge.get("/image/cat")
    key = record_key("cat", origin=origin.url)
    value = store.get(key)
    assert isinstance(value, bytes)
    entry = unpack_negative_entry(value, key)
    over = replace(entry, born_ms=entry.born_ms - 61_000, lifetime_s=60)
    store.set(key, pack_negative_entry(over, key), ex=600)
    assert "stored" in edge.get("/image/cat").headers["cache-status"]
    assert "hit" in edge.get("/image/cat").headers["cache-status"]
