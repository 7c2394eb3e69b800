"""An edge between its clients, its store and its origin."""

import asyncio
import io
import socket
import threading
from dataclasses import replace

import httpx
import pytest
import redis
from PIL import Image

from service.records.record import pack, unpack
from service.records.store_keys import record_key
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys

FRESH = {"Cache-Control": "public, max-age=600"}


def size_of(response: httpx.Response) -> tuple[int, int]:
    with Image.open(io.BytesIO(response.content)) as image:
        return image.size


def key_of(edge: RunningEdge, image_id: str) -> bytes:
    return record_key(image_id, origin=edge.settings.origin)


def decodes(edge: RunningEdge) -> float:
    return edge.metric('edge_stage_seconds_count{stage="synthesis"}')


def test_one_fill_serves_both_sizes(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/a/cat.jpg", Reply(photo, headers=FRESH))
    first = edge.get("/image/a/cat.jpg?res=medium")
    second = edge.get("/image/a/cat.jpg?res=medium")
    third = edge.get("/image/a/cat.jpg")
    assert [size_of(one) for one in (first, second, third)] == [(172, 172), (172, 172), (344, 344)]
    assert first.headers["cache-status"].startswith("latentedge; fwd=uri-miss; stored; ttl=")
    assert second.headers["cache-status"].startswith("latentedge; hit; ttl=")
    assert third.headers["cache-status"].startswith("latentedge; hit; ttl=")
    assert first.content == second.content
    assert first.headers["etag"] == second.headers["etag"] != third.headers["etag"]
    assert stored_keys(store) == [key_of(edge, "a/cat.jpg")]
    assert store.type(key_of(edge, "a/cat.jpg")) == b"string"
    assert store.strlen(key_of(edge, "a/cat.jpg")) < 20_000
    assert 590 <= store.ttl(key_of(edge, "a/cat.jpg")) - edge.settings.sie_s <= 600


def test_a_hit_has_all_fields_of_a_cached_response(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    modified = "Sun, 06 Nov 1994 08:49:37 GMT"
    origin.script("/cat", Reply(photo, headers={**FRESH, "Age": "100", "Last-Modified": modified}))
    edge.get("/image/cat")
    hit = edge.get("/image/cat")
    assert hit.headers["content-type"] == "image/jpeg"
    assert hit.headers["cache-control"] == "public, max-age=600"
    assert hit.headers["last-modified"] == modified
    assert hit.headers["x-content-type-options"] == "nosniff"
    assert hit.headers["vary"] == "Accept"
    assert hit.headers["etag"].startswith('W/"')
    assert 100 <= int(hit.headers["age"]) < 160
    assert len(hit.headers.get_list("date")) == 1
    assert int(hit.headers["content-length"]) == len(hit.content)
    stages = [part.strip().partition(";")[0] for part in hit.headers["server-timing"].split(",")]
    assert stages == ["store", "queue", "entropy", "synthesis", "file"]


def test_two_hundred_first_requests_make_one_fetch(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    gate = threading.Event()
    origin.script("/crowd", Reply(photo, headers=FRESH, gate=gate))

    async def crowd() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=edge.url, timeout=120, limits=limits, trust_env=False) as client:
            tasks = [
                asyncio.create_task(client.get("/image/crowd", params={"res": ("high", "medium")[number % 2]}))
                for number in range(200)
            ]
            await asyncio.to_thread(edge.arrivals.wait_for, 200)
            gate.set()
            return await asyncio.gather(*tasks)

    before = edge.stats()
    responses = asyncio.run(crowd())
    assert {response.status_code for response in responses} == {200}
    assert {size_of(response) for response in responses} == {(344, 344), (172, 172)}
    told = [response.headers["cache-status"] for response in responses]
    assert sum("stored" in one for one in told) == 1
    assert sum("collapsed" in one for one in told) >= 100, "the crowd did not wait together"
    assert edge.stats()["requests_total"] - before["requests_total"] == 200


def test_a_fill_outlives_its_client(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    reply = Reply(photo, headers=FRESH, gate=threading.Event())
    origin.script("/left", reply)
    host, port = edge.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /image/left HTTP/1.1\r\nHost: edge\r\n\r\n")
        assert reply.arrived.wait(60)
    assert reply.gate is not None
    reply.gate.set()
    assert edge.get("/image/left").status_code == 200


def test_head_and_304_never_touch_the_codec(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    full = edge.get("/image/cat?res=medium")
    before = decodes(edge)
    head = edge.client.head("/image/cat?res=medium")
    assert head.status_code == 200
    assert head.content == b""
    assert "content-length" not in head.headers
    unlike = {"content-length", "date", "server-timing", "cache-status", "age", "x-request-id"}
    assert {name: head.headers[name] for name in full.headers if name not in unlike} == {
        name: value for name, value in full.headers.items() if name not in unlike
    }
    fresh = edge.get("/image/cat?res=medium", headers={"If-None-Match": f'"other", {full.headers["etag"]}'})
    assert fresh.status_code == 304
    assert fresh.content == b""
    assert fresh.headers["vary"] == "Accept"
    assert fresh.headers["etag"] == full.headers["etag"]
    assert fresh.headers["cache-status"].startswith("latentedge; hit")
    assert "content-type" not in fresh.headers
    assert decodes(edge) == before
    assert edge.get("/image/cat?res=high", headers={"If-None-Match": full.headers["etag"]}).status_code == 200


def test_the_media_type_is_negotiated(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    tags = set()
    for kind in ("jpeg", "webp", "avif", "png"):
        asked = edge.get("/image/cat?res=medium", params={"res": "medium", "fmt": kind})
        accepted = edge.get("/image/cat?res=medium", headers={"Accept": f"image/{kind}"})
        assert asked.headers["content-type"] == accepted.headers["content-type"] == f"image/{kind}"
        assert asked.content == accepted.content
        assert "vary" not in asked.headers
        assert accepted.headers["vary"] == "Accept"
        with Image.open(io.BytesIO(asked.content)) as image:
            assert Image.MIME[str(image.format)] == f"image/{kind}"
        tags.add(asked.headers["etag"])
    assert len(tags) == 4


@pytest.mark.parametrize(
    "control", ["no-store", "private, max-age=60", "no-cache", "max-age=0", "s-maxage=0, max-age=9"]
)
def test_an_unstorable_response_is_for_one_client(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, control: str
) -> None:
    origin.script("/secret", *[Reply(photo, headers={"Cache-Control": control})] * 2)
    for _ in range(2):
        answer = edge.get("/image/secret?res=medium")
        assert size_of(answer) == (172, 172)
        assert answer.headers["cache-control"] == control
        assert answer.headers["cache-status"].startswith("latentedge; fwd=uri-miss; detail=")
    assert not stored_keys(store)


def test_clients_that_wait_for_a_private_picture_fetch_their_own(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    gate = threading.Event()
    private = {"Cache-Control": "private"}
    origin.script("/mine", Reply(photo, headers=private, gate=gate), *[Reply(photo, headers=private)] * 2)

    async def three() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=edge.url, timeout=120, trust_env=False) as client:
            tasks = [asyncio.create_task(client.get("/image/mine?res=medium")) for _ in range(3)]
            await asyncio.to_thread(edge.arrivals.wait_for, 3)
            gate.set()
            return await asyncio.gather(*tasks)

    assert {size_of(response) for response in asyncio.run(three())} == {(172, 172)}


def test_without_a_lifetime_the_default_applies(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo))
    edge.get("/image/cat")
    assert 3590 <= store.ttl(key_of(edge, "cat")) - edge.settings.sie_s <= 3600


def test_a_response_may_be_older_than_the_epoch(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    """RFC 9111 1.2.2: lifetimes reach to 2**31 seconds, so ages do too."""
    dates = {"Age": "2147483000", "Last-Modified": "Wed, 01 Jan 1930 00:00:00 GMT"}
    origin.script("/old", Reply(photo, headers={"Cache-Control": "max-age=2147483648", **dates}))
    first, second = edge.get("/image/old"), edge.get("/image/old")
    assert "stored" in first.headers["cache-status"]
    assert "hit" in second.headers["cache-status"]
    assert first.headers["last-modified"] == second.headers["last-modified"] == dates["Last-Modified"]
    assert int(second.headers["age"]) >= 2_147_483_000


def flipped(value: bytes, position: int) -> bytes:
    damaged = bytearray(value)
    damaged[position] ^= 0x10
    return bytes(damaged)


def with_other_weights(value: bytes, key: bytes) -> bytes:
    """Return a record whose encode is older than EDGE_FOREIGN_HOLD_S."""
    return pack(replace(unpack(value, key), stream_id=b"\0\0\0\0", filled_ms=0), key)


def with_a_damaged_bitstream(value: bytes, key: bytes) -> bytes:
    record = unpack(value, key)
    return pack(replace(record, bitstream=flipped(record.bitstream, len(record.bitstream) // 2)), key)


@pytest.mark.parametrize(
    ("fault", "damage"),
    [
        ("damaged-record", lambda value, _key: flipped(value, len(value) // 2)),
        ("damaged-record", lambda value, _key: flipped(value, 9)),
        ("damaged-record", lambda value, _key: value[:-1]),
        ("damaged-record", lambda _value, _key: b"no record at all"),
        ("damaged-record", lambda _value, _key: b""),
        ("damaged-record", lambda value, key: pack(unpack(value, key), b"p:{another}")),
        ("foreign-record", with_other_weights),
        ("damaged-record", with_a_damaged_bitstream),
    ],
)
def test_a_bad_record_is_a_miss_and_never_a_wrong_picture(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, fault: str, damage: object
) -> None:
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
    right = edge.get("/image/cat?res=medium")
    key = key_of(edge, "cat")
    assert callable(damage)
    store.set(key, damage(store.get(key), key), ex=600)
    counted = f'edge_record_faults_total{{fault="{fault.replace("-", "_")}"}}'
    before = edge.metric(counted)
    again = edge.get("/image/cat?res=medium")
    assert again.content == right.content
    assert again.headers["cache-status"].endswith(f"detail={fault}")
    assert edge.metric(counted) == before + 1
    assert "hit" in edge.get("/image/cat?res=medium").headers["cache-status"]


def test_a_key_of_another_redis_type_is_replaced(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    store.rpush(key_of(edge, "cat"), "someone else's list")
    replaced = edge.get("/image/cat").headers["cache-status"]
    assert "stored" in replaced
    assert replaced.endswith("detail=damaged-record")
    assert "hit" in edge.get("/image/cat").headers["cache-status"]


def test_fields_that_identify_the_client_do_not_reach_the_origin(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/one", Reply(photo, headers={**FRESH, "Set-Cookie": "who=me"}))
    origin.script("/two", Reply(photo, headers=FRESH))
    secrets = {
        "Authorization": "Bearer x",
        "Proxy-Authorization": "Basic x",
        "Cookie": "a=b",
        "X-API-Key": "k",
        "Range": "bytes=0-9",
        "If-None-Match": '"x"',
        "X-Forwarded-For": "192.0.2.1",
        "Referer": "http://me.example/",
        "X-Mine": "z",
        "Connection": "X-Mine",
        "Cache-Control": "no-cache",
        "Traceparent": "00-1-1-00",
    }
    first = edge.get("/image/one?res=medium", headers=secrets)
    assert first.status_code == 200
    assert "set-cookie" not in first.headers
    edge.get("/image/two?res=medium")
    for request in origin.requests:
        assert {name.lower() for name in request.headers} == {
            *("host", "connection", "accept", "accept-encoding", "user-agent", "cdn-loop", "via")
        }
        assert "x-mine" not in request.headers["Connection"].lower()


def test_ids_reach_the_origin_unchanged(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    image_id = "ä b/100%/q?x=1&y#z+;=.jpg"
    origin.script("/" + image_id, Reply(photo, headers=FRESH))
    assert edge.get("/image/%C3%A4%20b/100%25/q%3Fx=1%26y%23z+;=.jpg?res=medium").status_code == 200
