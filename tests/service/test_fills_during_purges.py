"""A purged picture is never served or stored again by a fetch, validation or encode from before the purge."""

import threading
from dataclasses import replace

import pytest
import redis

from service.records.record import pack, unpack
from service.records.store_keys import generations_key, record_key
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.held_encodes import held_encodes
from tests.service.purging import CATS, HIT, LIMIT_S, MISS, VALIDATED, WAYS, purge, purging_edge
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.shelf import Shelf
from tests.service.test_lease import asked_of
from tests.service.test_refinement_stories import STEPS, writes_to
from tests.service.test_revalidation import told
from tests.service.tiers import own_store

ROUNDS = 20
"""More turns of the edge's loop than a request needs to join a fill."""


@pytest.fixture
def edge(edge_that_purges: RunningEdge) -> RunningEdge:
    return edge_that_purges


class TestARace:
    """A purge while a fill or a validation is under way."""

    @pytest.mark.parametrize("status", [404, 500])
    @pytest.mark.parametrize("order", WAYS)
    def test_an_error_from_before_a_purge_is_never_served_after(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, order: dict[str, object], status: int
    ) -> None:
        old = Reply(status=status, headers={"Cache-Control": "max-age=600"}, gate=threading.Event())
        origin.script("/cat", old, Reply(photo, headers=CATS))
        with asked_of(edge, "/image/cat") as before:
            assert old.arrived.wait(LIMIT_S)
            purge(edge, **order)
            with asked_of(edge, "/image/cat") as after:
                for _ in range(ROUNDS):
                    edge.get("/livez")
                assert old.gate is not None
                old.gate.set()
        assert (before[0].status_code, after[0].status_code) == (status, 200)

    @pytest.mark.parametrize("order", [*WAYS, {"id": "cat", "soft": True}])
    def test_a_picture_fetched_before_the_purge_is_never_served_after_it(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
    ) -> None:
        old, new = Reply(photo, headers=CATS, gate=threading.Event()), Reply(photo, headers=CATS)
        origin.script("/cat", old, new)
        with asked_of(edge, "/image/cat") as before:
            assert old.arrived.wait(LIMIT_S)
            purge(edge, **order)
            with asked_of(edge, "/image/cat") as after:
                assert old.gate is not None
                old.gate.set()
        assert before[0].status_code == after[0].status_code == 200
        assert len(origin.requests) == 2
        assert told(edge.get("/image/cat")) == HIT

    @pytest.mark.parametrize("order", WAYS)
    def test_a_404_fetched_before_the_purge_is_not_remembered(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
    ) -> None:
        old = Reply(status=404, gate=threading.Event())
        origin.script("/cat", old, Reply(photo, headers=CATS))
        with asked_of(edge, "/image/cat") as before:
            assert old.arrived.wait(LIMIT_S)
            purge(edge, **order)
            assert old.gate is not None
            old.gate.set()
        assert before[0].status_code == 404
        assert told(edge.get("/image/cat")) == MISS

    @pytest.mark.parametrize("order", WAYS)
    def test_a_validation_from_before_the_purge_renews_nothing(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, order: dict[str, object]
    ) -> None:
        old = Reply(status=304, gate=threading.Event())
        origin.script("/cat", Reply(photo, headers=CATS), old, Reply(photo, headers=CATS))
        edge.get("/image/cat")
        shelf.age(601)
        with asked_of(edge, "/image/cat"):
            assert old.arrived.wait(LIMIT_S)
            purge(edge, **order)
            assert old.gate is not None
            old.gate.set()
        assert told(edge.get("/image/cat")) == MISS

    @pytest.mark.parametrize("order", WAYS)
    def test_a_validation_from_before_a_soft_purge_does_not_undo_it(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, order: dict[str, object]
    ) -> None:
        old = Reply(status=304, gate=threading.Event())
        origin.script("/cat", Reply(photo, headers=CATS), old, Reply(status=304))
        edge.get("/image/cat")
        shelf.age(601)
        with asked_of(edge, "/image/cat"):
            assert old.arrived.wait(LIMIT_S)
            purge(edge, **order, soft=True)
            assert old.gate is not None
            old.gate.set()
        assert told(edge.get("/image/cat")) == VALIDATED

    @pytest.mark.parametrize("order", [{"id": "cat"}, {"id": "cat", "soft": True}])
    def test_a_request_after_the_purge_does_not_wait_for_a_fetch_from_before_it(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
    ) -> None:
        old = Reply(photo, headers=CATS, gate=threading.Event())
        origin.script("/cat", old, Reply(photo, headers=CATS))
        with asked_of(edge, "/image/cat") as before:
            assert old.arrived.wait(LIMIT_S)
            purge(edge, **order)
            assert told(edge.get("/image/cat")) == MISS
            assert old.gate is not None
            old.gate.set()
        assert told(before[0]) == "latentedge; fwd=uri-miss"
        assert told(edge.get("/image/cat")) == HIT

    def test_a_validation_does_not_undo_a_purge_that_this_edge_has_not_seen_yet(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, store: redis.Redis
    ) -> None:
        """This edge reads the purge table again in a second, so the write compares its grant with the store."""
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        edge.get("/image/cat")
        shelf.age(601)
        later = shelf.record.generation + 1
        store.hset(generations_key(origin.url), mapping={"latest": later, "hard:cats": later})
        assert told(edge.get("/image/cat")) == MISS
        assert "If-None-Match" not in origin.requests[-1].headers
        assert shelf.record.generation == later

    def test_a_fill_at_another_edge_stores_nothing_that_was_purged(
        self,
        edge: RunningEdge,
        origin: ScriptedOrigin,
        photo: bytes,
        session_valkey: EmbeddedValkey,
    ) -> None:
        old = Reply(photo, headers=CATS, gate=threading.Event())
        origin.script("/cat", old, Reply(photo, headers=CATS))
        with running_edge(read_settings(origin=origin.url, redis_url=session_valkey.url)) as twin:
            with asked_of(twin, "/image/cat") as before:
                assert old.arrived.wait(LIMIT_S)
                purge(edge, id="cat")
                with asked_of(twin, "/image/cat") as after:  # joins the fill that has begun too early
                    assert old.gate is not None
                    old.gate.set()
            assert told(before[0]) == "latentedge; fwd=uri-miss"
            assert told(after[0]).startswith("latentedge; fwd=uri-miss; ")
            assert len(origin.requests) == 2
            assert told(edge.get("/image/cat")) == HIT


@pytest.mark.parametrize("order", [{"id": "cat"}, {"tag": "cats"}, {"all": True}])
def test_pixels_served_before_a_purge_are_not_served_after_it(
    session_valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
) -> None:
    """With EDGE_MISS=source the latent is not stored yet, and another edge purges the picture."""
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
    url = own_store(session_valkey, 6)
    with (
        held_encodes() as held,
        purging_edge(origin.url, url) as another,
        running_edge(read_settings(origin=origin.url, redis_url=url, miss="source", miss_items=9)) as hasty,
    ):
        assert hasty.get("/image/cat").headers["cache-status"].endswith("detail=source")
        assert held.begun.wait(LIMIT_S)
        reused = hasty.get("/image/cat").headers["cache-status"]
        assert reused.startswith("latentedge; hit; ttl=")
        assert reused.endswith("; detail=source")
        purge(another, **order)
        with asked_of(hasty, "/image/cat") as after:
            held.may_go_on.set()
        assert after[0].status_code == 200
        assert len(origin.requests) == 2


def test_a_refinement_from_before_a_purge_does_not_store_the_picture_again(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
) -> None:
    """A refinement replaces only the record that it began with, and its latent is as old as that record."""
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
    origin.script("/dog", Reply(photo, headers=CATS))
    key = record_key("cat", origin=origin.url)
    with (
        redis.Redis.from_url(valkey.url) as store,
        writes_to(store, key) as written,
        purging_edge(origin.url, valkey.url, refine=STEPS) as edge,
    ):
        edge.get("/image/cat")
        written()
        before = unpack(store.get(key), key)
        written()
        refined, dogs = unpack(store.get(key), key), record_key("dog", origin=origin.url)
        assert refined.refinement == STEPS
        assert refined.generation == before.generation
        store.set(dogs, pack(replace(refined, image_id="dog", tags=()), dogs), ex=600)
        purge(edge, tag="cats")
        assert [told(edge.get(f"/image/{name}")) for name in ("cat", "dog")] == [MISS, HIT]
        purge(edge, all=True)
        assert told(edge.get("/image/dog")) == MISS
