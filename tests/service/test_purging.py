"""A purged picture is fetched again, and a softly purged one is validated: at every edge, with its tags and leases."""

import threading

import pytest
import redis

from service.records.store_keys import LEASE_PREFIX
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.purging import CATS, HIT, LIMIT_S, MISS, TOKEN, VALIDATED, WAYS, purge
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys
from tests.service.test_revalidation import encodes, told
from tests.service.tiers import child_of


@pytest.fixture
def edge(edge_that_purges: RunningEdge) -> RunningEdge:
    return edge_that_purges


@pytest.mark.parametrize("order", WAYS)
def test_a_purged_picture_is_fetched_again_without_validators(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
) -> None:
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
    assert [told(edge.get("/image/cat")) for _ in range(2)] == [MISS, HIT]
    purge(edge, **order)
    assert [told(edge.get("/image/cat")) for _ in range(2)] == [MISS, HIT]
    assert "If-None-Match" not in origin.requests[-1].headers


@pytest.mark.parametrize("order", WAYS)
def test_a_softly_purged_picture_is_validated(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
) -> None:
    origin.script("/cat", Reply(photo, headers=CATS), Reply(status=304))
    edge.get("/image/cat")
    encoded = encodes(edge)
    purge(edge, **order, soft=True)
    assert [told(edge.get("/image/cat")) for _ in range(2)] == [VALIDATED, HIT]
    assert origin.requests[-1].headers["If-None-Match"] == '"v1"'
    assert encodes(edge) == encoded


@pytest.mark.parametrize("order", WAYS)
def test_a_softly_purged_picture_is_served_stale_on_error_and_while_revalidating(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
) -> None:
    said = {**CATS, "Cache-Control": "max-age=600, stale-while-revalidate=60"}
    failure = Reply(status=503, gate=threading.Event())
    origin.script("/cat", Reply(photo, headers=said), failure)
    assert told(edge.get("/image/cat")) == MISS
    purge(edge, **order, soft=True)
    assert failure.gate is not None
    shown = edge.get("/image/cat")
    assert shown.headers["cache-status"].endswith("detail=stale-while-revalidate")
    assert failure.arrived.wait(LIMIT_S)
    failure.gate.set()


def test_a_purge_of_another_tag_does_not_purge_a_picture(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=CATS))
    origin.script(
        "/dog", *[Reply(photo, headers={"Surrogate-Key": "dogs photo:8", "Cache-Control": "max-age=600"})] * 2
    )
    for name in ("cat", "dog"):
        edge.get(f"/image/{name}")
    purge(edge, tag="photo:8")
    assert told(edge.get("/image/cat")) == HIT
    assert told(edge.get("/image/dog")) == MISS


def test_tags_are_not_sent_to_clients(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    """As Fastly and Cloudflare do it."""
    origin.script("/cat", Reply(photo, headers={**CATS, "Surrogate-Key": "a b"}))
    for _ in range(2):
        assert not {"cache-tag", "surrogate-key"} & set(edge.get("/image/cat").headers)


@pytest.mark.parametrize("tags", [",".join(f"t{n}" for n in range(65)), "x" * 256, "caf\xe9"])
def test_a_picture_that_a_purge_could_miss_is_not_stored(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis, tags: str
) -> None:
    origin.script("/cat", Reply(photo, headers={**CATS, "Cache-Tag": tags}))
    assert told(edge.get("/image/cat")) == "latentedge; fwd=uri-miss; detail=too-many-tags"
    assert not stored_keys(store)


@pytest.mark.parametrize("order", [*WAYS, {"id": "cat", "soft": True}, {"tag": "another", "soft": True}])
def test_negative_cache_entries_are_purged_too(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
) -> None:
    no_picture = Reply(b"<html>", headers={"Cache-Control": "max-age=600"})
    origin.script("/cat", Reply(status=404), no_picture, Reply(photo, headers=CATS))
    for _ in range(2):
        assert edge.get("/image/cat").status_code == 404
    purge(edge, **order)
    for _ in range(2):  # and another may be remembered in its place
        assert edge.get("/image/cat").status_code == 415
    purge(edge, **order)
    assert told(edge.get("/image/cat")) == MISS


def test_a_purge_at_one_edge_purges_for_all_edges(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey
) -> None:
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 4)
    with running_edge(read_settings(origin=origin.url, redis_url=session_valkey.url)) as twin:
        assert [told(twin.get("/image/cat")) for _ in range(2)] == [MISS, HIT]
        for order in ({"id": "cat"}, {"tag": "cats"}, {"all": True}):
            purge(edge, **order)
            assert [told(twin.get("/image/cat")) for _ in range(2)] == [MISS, HIT]


def test_a_child_learns_the_tags_of_its_parent(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey
) -> None:
    origin.script("/cat", Reply(photo, headers={**CATS, "Surrogate-Key": "a,b c"}))
    with child_of(edge.url, session_valkey, origin=origin.url, admin_token=TOKEN) as child:
        assert [told(child.get("/image/cat")) for _ in range(2)] == [MISS, HIT]
        for tag in ("cats", "photo:7", "a,b", "c"):
            purge(child, tag=tag)
            assert [told(child.get("/image/cat")) for _ in range(2)] == [MISS, HIT]
        assert not {"cache-tag", "surrogate-key"} & set(child.get("/image/cat").headers)


def test_a_purge_ends_the_leases_of_its_pictures(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    origin.script("/mine", Reply(photo, headers={"Cache-Control": "private"}))
    edge.get("/image/mine")
    assert store.keys(LEASE_PREFIX + b"*")
    purge(edge, id="mine")
    assert not store.keys(LEASE_PREFIX + b"*")
