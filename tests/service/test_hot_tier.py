"""EDGE_HOT_BYTES: a file in the in-memory cache is served again, but only while the store has its record."""

import asyncio
import io
from collections.abc import Iterator

import httpx
import pytest
import redis
from PIL import Image
from skimage import data

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.paused import paused
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin

FRESH = {"Cache-Control": "public, max-age=600"}


@pytest.fixture
def hot(origin: ScriptedOrigin, session_valkey: EmbeddedValkey, store: redis.Redis) -> Iterator[RunningEdge]:
    """An edge with an in-memory cache and an empty store."""
    store.flushall()
    with running_edge(read_settings(origin=origin.url, redis_url=session_valkey.url, hot_bytes=2**20)) as edge:
        yield edge


def renditions(edge: RunningEdge) -> tuple[int, int]:
    """Return how many files were decoded, and how many came from the in-memory cache."""
    figures = edge.stats()["renditions"]
    return figures["decoded"], figures["from_memory"]


def test_the_second_hit_on_a_file_is_no_decode(hot: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    first, second = hot.get("/image/cat?res=172"), hot.get("/image/cat?res=172")
    assert "detail" not in first.headers["cache-status"]
    assert "; hit" in second.headers["cache-status"]
    assert "detail=memory" in second.headers["cache-status"]
    assert "synthesis" in first.headers["server-timing"]
    assert "synthesis" not in second.headers["server-timing"]
    assert (second.content, second.headers["etag"]) == (first.content, first.headers["etag"])
    assert renditions(hot) == (1, 1)
    assert hot.stats()["renditions"]["memory_bytes"] == len(first.content)


def test_each_size_and_media_type_is_a_file_of_its_own(hot: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    asked = ["?res=172", "?res=344", "?res=344&fmt=webp"]
    files = [hot.get(f"/image/cat{one}").content for one in asked]
    assert [hot.get(f"/image/cat{one}").content for one in asked] == files
    assert len(set(files)) == 3
    assert renditions(hot) == (3, 3)


def test_a_request_without_a_file_does_not_use_the_in_memory_cache(
    hot: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    tag = hot.get("/image/cat").headers["etag"]
    assert hot.client.head("/image/cat").status_code == 200
    assert hot.get("/image/cat", headers={"If-None-Match": tag}).status_code == 304
    assert renditions(hot) == (1, 0)


def test_a_head_tells_the_length_of_a_file_in_memory(hot: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    origin.script("/gone", Reply(status=404))
    whole = hot.get("/image/cat")
    known, unknown = (hot.client.head(f"/image/cat{query}") for query in ("", "?fmt=webp"))
    assert known.headers["content-length"] == str(len(whole.content))
    assert "content-length" not in unknown.headers
    gone, refused = hot.client.head("/image/gone"), hot.get("/image/gone")
    assert gone.headers["content-length"] == str(len(refused.content))
    assert (known.content, gone.content) == (b"", b"")


def test_a_crowd_for_one_file_is_one_decode(hot: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    hot.client.head("/image/cat")

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=hot.url, timeout=120, trust_env=False) as client:
            return await asyncio.gather(*[client.get("/image/cat") for _ in range(60)])

    answers = asyncio.run(crowd())
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    figures = hot.stats()["renditions"]
    assert figures["decoded"] == 1
    assert figures["shared"] + figures["from_memory"] == 59


def test_a_file_in_memory_is_not_served_without_its_record(
    hot: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH), Reply(b"", 404))
    assert hot.get("/image/cat").status_code == 200
    store.flushall()
    assert hot.get("/image/cat").status_code == 404


def test_another_picture_under_the_same_name_is_another_file(
    hot: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    file = io.BytesIO()
    Image.fromarray(data.coffee()).save(file, "JPEG")  # type: ignore[no-untyped-call]
    origin.script("/cat", Reply(photo, headers=FRESH), Reply(file.getvalue(), headers=FRESH))
    before = hot.get("/image/cat")
    store.flushall()
    after = hot.get("/image/cat")
    assert after.headers["etag"] != before.headers["etag"]
    assert after.content != before.content
    assert hot.get("/image/cat").content == after.content


def test_the_same_picture_filled_again_is_found_in_memory(
    hot: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
    hot.get("/image/cat")
    store.flushall()
    again = hot.get("/image/cat")
    assert "fwd=uri-miss; stored" in again.headers["cache-status"]
    assert renditions(hot) == (1, 1)


def test_without_the_store_the_in_memory_cache_is_not_used(
    origin: ScriptedOrigin, valkey: EmbeddedValkey, photo: bytes
) -> None:
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
    settings = read_settings(origin=origin.url, redis_url=valkey.url, hot_bytes=2**20, store_timeout_s=1.5)
    with running_edge(settings) as edge:
        edge.get("/image/cat")
        with paused(valkey):
            alone = edge.get("/image/cat")
        assert "fwd=bypass" in alone.headers["cache-status"]
        assert renditions(edge) == (1, 0)
