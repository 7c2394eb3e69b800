"""A purged picture is never served or stored again by a fetch, validation or encode from before the purge."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import redis

from service.cli import run
from service.records.record import pack, unpack
from service.records.store_keys import LEASE_PREFIX, generations_key, record_key
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.held_encodes import held_encodes
from tests.service.purging import BEARER, TOKEN, purge, purging_edge
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.server_process import serving
from tests.service.shelf import Shelf
from tests.service.stored import stored_keys
from tests.service.test_lease import asked_of
from tests.service.test_refinement_stories import STEPS, writes_to
from tests.service.test_revalidation import encodes, told
from tests.service.tiers import child_of, own_store

CATS = {"Cache-Control": "max-age=600", "ETag": '"v1"', "Cache-Tag": "cats, photo:7"}
LIMIT_S = 60
MISS, HIT = "latentedge; fwd=uri-miss; stored", "latentedge; hit"
VALIDATED = "latentedge; fwd=stale; fwd-status=304; stored"


@pytest.fixture
def edge(edge_that_purges: RunningEdge) -> RunningEdge:
    return edge_that_purges


WAYS = [{"id": "cat"}, {"tag": "cats"}, {"tag": "photo:7"}, {"all": True}]


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


def test_the_purge_method_returns_the_number_of_purged_pictures(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    origin.script("/a b/cat", Reply(photo, headers=CATS))
    edge.get("/image/a%20b/cat")
    answers = [edge.client.request("PURGE", "/image/a%20b/cat", headers=BEARER) for _ in range(2)]
    assert [answer.json() for answer in answers] == [
        {"scope": "id", "soft": False, "purged": 1},
        {"scope": "id", "soft": False, "purged": 0},
    ]
    assert not stored_keys(store)
    assert edge.metric('edge_purges_total{scope="id"}') >= 2


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


ROUNDS = 20
"""More turns of the edge's loop than a request needs to join a fill."""


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


def test_a_purge_at_one_edge_purges_for_all_edges(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey
) -> None:
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 4)
    with running_edge(read_settings(origin=origin.url, redis_url=session_valkey.url)) as twin:
        assert [told(twin.get("/image/cat")) for _ in range(2)] == [MISS, HIT]
        for order in ({"id": "cat"}, {"tag": "cats"}, {"all": True}):
            purge(edge, **order)
            assert [told(twin.get("/image/cat")) for _ in range(2)] == [MISS, HIT]


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


class TestMemoryOfAPurge:
    """The purge table outlives evictions, restarts and the loss of the store."""

    @pytest.mark.parametrize("order", [{"tag": "cats"}, {"all": True}])
    def test_the_purge_table_survives_evictions(
        self, valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        key = record_key("cat", origin=origin.url)
        with redis.Redis.from_url(valkey.url) as store, purging_edge(origin.url, valkey.url) as edge:
            edge.get("/image/cat")
            kept = store.dump(key)
            purge(edge, **order)
            store.config_set("maxmemory", 4 * 2**20)
            for number in range(400):
                store.set(f"p:{number}", bytes(20_000), ex=1000)
            assert store.info("stats")["evicted_keys"] > 0
            assert store.ttl(generations_key(origin.url)) == -1
            store.restore(key, 600_000, kept, replace=True)  # the old record, had it survived
            assert told(edge.get("/image/cat")) == MISS

    @pytest.mark.parametrize("order", [{"tag": "cats"}, {"all": True}])
    def test_the_purge_table_survives_a_restart_of_the_edges(
        self, valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        with purging_edge(origin.url, valkey.url) as edge:
            edge.get("/image/cat")
            purge(edge, **order)
        with purging_edge(origin.url, valkey.url) as another:
            assert [told(another.get("/image/cat")) for _ in range(2)] == [MISS, HIT]

    def test_an_edge_restores_a_lost_purge_table(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        edge.get("/image/cat")
        kept = store.dump(record_key("cat", origin=origin.url)) or b""
        purge(edge, tag="cats")
        table = store.hgetall(generations_key(origin.url))
        store.delete(generations_key(origin.url))
        purge(edge, tag="another")
        assert store.hget(generations_key(origin.url), "hard:cats") == table[b"hard:cats"]
        store.restore(record_key("cat", origin=origin.url), 600_000, kept, replace=True)
        assert told(edge.get("/image/cat")) == MISS

    def test_everything_counts_as_purged_if_no_edge_remembers_the_purge_table(
        self, valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        with redis.Redis.from_url(valkey.url) as store:
            with purging_edge(origin.url, valkey.url) as edge:
                edge.get("/image/cat")
            store.delete(generations_key(origin.url))
            with purging_edge(origin.url, valkey.url) as another:
                assert [told(another.get("/image/cat")) for _ in range(2)] == [MISS, HIT]

    def test_the_store_counts_as_unavailable_without_a_purge_table(
        self, valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        with redis.Redis.from_url(valkey.url) as store:
            with purging_edge(origin.url, valkey.url) as edge:
                edge.get("/image/cat")
            store.delete(generations_key(origin.url))
            store.rpush(generations_key(origin.url), "someone else's list")
            with purging_edge(origin.url, valkey.url) as another:
                status = told(another.get("/image/cat"))
                assert status == "latentedge; fwd=bypass; detail=store-unavailable"
                assert another.client.post("/purge", json={"all": True}, headers=BEARER).status_code == 503


def test_the_admin_port_purges_for_all_workers(
    short_path: Path, unused_port: int, origin: ScriptedOrigin, photo: bytes, valkey_program: None
) -> None:
    """The picture port has no purge routes then."""
    _ = valkey_program
    orders: list[dict[str, object]] = [{"id": "cat"}, {"tag": "cats"}, {"all": True}]
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 4)
    with (
        serving(short_path, origin.url, workers=2, admin_port=unused_port, admin_token=TOKEN) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{unused_port}", headers=BEARER, timeout=60, trust_env=False) as admin,
    ):
        assert httpx.post(f"{server.url}/purge", json={"all": True}, headers=BEARER, trust_env=False).status_code == 404
        for order in orders:
            assert sum("hit" in server.get("/image/cat?res=medium").headers["cache-status"] for _ in range(8)) == 7
            assert admin.post("/purge", json=order).status_code == 200
        assert "stored" in server.get("/image/cat?res=medium").headers["cache-status"]
        assert 'edge_purges_total{scope="all"} 1.0' in admin.get("/metrics").text


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


class TestWhoMayPurge:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Bearer {TOKEN} "[:-2]},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": TOKEN},
        ],
    )
    def test_a_purge_with_the_token_is_accepted(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, headers: dict[str, str]
    ) -> None:
        origin.script("/cat", Reply(photo, headers=CATS))
        edge.get("/image/cat")
        for answer in (
            edge.client.request("PURGE", "/image/cat", headers=headers),
            edge.client.post("/purge", json={"all": True}, headers=headers),
            edge.client.post("/purge", content=b"nonsense", headers=headers),
        ):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="latentedge"'
            assert answer.headers["content-type"] == "application/problem+json"
        assert told(edge.get("/image/cat")) == HIT

    def test_every_purge_is_refused_if_no_token_is_set(
        self, session_valkey: EmbeddedValkey, origin: ScriptedOrigin
    ) -> None:
        with running_edge(read_settings(origin=origin.url, redis_url=session_valkey.url)) as closed:
            for headers in ({}, BEARER, {"Authorization": "Bearer x"}):
                assert closed.client.request("PURGE", "/image/cat", headers=headers).status_code == 403
                assert closed.client.post("/purge", json={"all": True}, headers=headers).status_code == 403

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"nonsense",
            b"[]",
            b"{}",
            b'{"soft": true}',
            b'{"all": false}',
            b'{"id": "a", "tag": "b"}',
            b'{"id": "a", "all": true}',
            b'{"tag": ""}',
            b'{"tag": "caf\xc3\xa9"}',
            b'{"tag": 7}',
            b'{"all": 1}',
            b'{"id": "../a"}',
            b'{"all": true, "sofft": true}',
        ],
    )
    def test_an_invalid_body_is_refused(self, edge: RunningEdge, body: bytes) -> None:
        answer = edge.client.post("/purge", content=body, headers=BEARER)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].startswith("Nothing was purged: ")

    def test_a_purge_without_a_store_is_an_error(self, origin: ScriptedOrigin) -> None:
        with purging_edge(origin.url, "unix:///none") as edge:
            for order in ({"id": "cat"}, {"id": "cat", "soft": True}, {"tag": "cats"}, {"all": True}):
                answer = edge.client.post("/purge", json=order, headers=BEARER)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


class TestTheCommand:
    def test_the_command_purges(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        edge.get("/image/cat")
        assert run(["purge", "--id", "cat", "--edge", edge.url, "--token", TOKEN]) == 0
        assert '"purged":1' in capsys.readouterr().out
        assert told(edge.get("/image/cat")) == MISS

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--id", "cat", "--token", "wrong"], "401 The token is missing or wrong."),
            (["--token", TOKEN], "exactly one of --id, --tag and --all"),
            (["--id", "a", "--all", "--token", TOKEN], "exactly one of --id, --tag and --all"),
            (["--tag", "", "--token", TOKEN], "400 Nothing was purged: a tag is"),
        ],
    )
    def test_the_command_says_why_a_purge_failed(
        self, edge: RunningEdge, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
    ) -> None:
        assert run(["purge", "--edge", edge.url, *arguments]) == 2
        assert complaint in capsys.readouterr().err


def test_a_purge_ends_the_leases_of_its_pictures(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    origin.script("/mine", Reply(photo, headers={"Cache-Control": "private"}))
    edge.get("/image/mine")
    assert store.keys(LEASE_PREFIX + b"*")
    purge(edge, id="mine")
    assert not store.keys(LEASE_PREFIX + b"*")


def test_concurrent_purges_get_different_generations(edge: RunningEdge) -> None:
    async def ten() -> list[int]:
        async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, timeout=60, trust_env=False) as client:
            answers = await asyncio.gather(*[client.post("/purge", json={"tag": "t"}) for _ in range(10)])
        return [answer.json()["generation"] for answer in answers]

    assert len(set(asyncio.run(ten()))) == 10
