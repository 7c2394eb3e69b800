"""EDGE_STORE_GRACE_S: while the store does not answer, fresh pictures are shown from memory for a while."""

import asyncio
from collections.abc import Iterator

import pytest

from service.records.generations import Generations
from service.records.last_known import LastKnown
from service.records.lookup import Lookup
from service.records.purge_table import HARD
from service.records.purger import Purger
from service.records.store_keys import generations_key, record_key
from service.records.vary_rule import VaryRule
from service.settings.edge_settings import read_settings
from service.store.connection import Connection, Timeouts
from service.store.embedded import EmbeddedValkey
from service.store.generation_store import GenerationStore
from service.store.latent_store import LatentStore
from tests.service.filled_cache import FilledCache
from tests.service.paused import paused
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin

FRESH = {"Cache-Control": "max-age=600", "Cache-Tag": "cats"}
ADMIN = {"Authorization": "Bearer secret"}
GRACE = {"store_grace_s": 3600, "admin_token": "secret", "latent_token": LATENT_TOKEN}


@pytest.fixture
def patient(origin: ScriptedOrigin, valkey: EmbeddedValkey) -> Iterator[RunningEdge]:
    """An edge that shows pictures from memory for an hour, with a store of its own."""
    with running_edge(read_settings(origin=origin.url, redis_url=valkey.url, **GRACE)) as edge:
        yield edge


def shut_down(server: EmbeddedValkey) -> None:
    """Stop the server and its watchdog, so that nobody starts another one."""
    server.stop()


def warm(edge: RunningEdge, image_id: str) -> None:
    """Request a picture twice, so that the second answer is a hit."""
    edge.get(f"/image/{image_id}")
    assert "; hit" in edge.get(f"/image/{image_id}").headers["cache-status"]


def test_a_fresh_picture_is_shown_while_the_store_is_gone(
    patient: RunningEdge, origin: ScriptedOrigin, valkey: EmbeddedValkey, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    warm(patient, "cat")
    before = patient.get("/image/cat")
    shut_down(valkey)
    alone = patient.get("/image/cat")
    assert alone.headers["cache-status"].startswith("latentedge; hit; ttl=")
    assert alone.headers["cache-status"].endswith("; detail=unconfirmed")
    assert alone.content == before.content, "another picture"
    tag = {"If-None-Match": before.headers["etag"]}
    assert patient.get("/image/cat", headers=tag).status_code == 304
    assert patient.client.head("/image/cat?res=medium").status_code == 200


def test_a_store_that_stands_still_is_an_outage_too(
    origin: ScriptedOrigin, valkey: EmbeddedValkey, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    settings = read_settings(origin=origin.url, redis_url=valkey.url, store_timeout_s=2, **GRACE)
    with running_edge(settings) as patient:
        warm(patient, "cat")
        with paused(valkey):
            assert "unconfirmed" in patient.get("/image/cat").headers["cache-status"]


def test_without_grace_the_origin_is_asked(origin: ScriptedOrigin, valkey: EmbeddedValkey, photo: bytes) -> None:
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
    with running_edge(read_settings(origin=origin.url, redis_url=valkey.url, **{**GRACE, "store_grace_s": 0})) as edge:
        warm(edge, "cat")
        shut_down(valkey)
        assert "fwd=bypass" in edge.get("/image/cat").headers["cache-status"]


def test_a_stale_picture_a_latent_and_an_unknown_picture_are_not_shown(
    patient: RunningEdge, origin: ScriptedOrigin, valkey: EmbeddedValkey, photo: bytes
) -> None:
    stale = {"Cache-Control": "max-age=0, stale-while-revalidate=600"}
    origin.script("/old", *[Reply(photo, headers=stale)] * 2)
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
    origin.script("/new", Reply(photo, headers=FRESH))
    warm(patient, "cat")
    patient.get("/image/old")
    shut_down(valkey)
    for answer in (patient.get("/image/old"), patient.latent("cat"), patient.get("/image/new")):
        assert "fwd=bypass" in answer.headers["cache-status"]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("order", [{"id": "cat"}, {"tag": "cats"}, {"all": True}])
def test_a_purge_that_failed_ends_it(
    patient: RunningEdge,
    origin: ScriptedOrigin,
    valkey: EmbeddedValkey,
    photo: bytes,
    order: dict[str, object],
    soft: bool,  # noqa: FBT001  (pytest passes it by name)
) -> None:
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
    warm(patient, "cat")
    shut_down(valkey)
    assert patient.client.post("/purge", headers=ADMIN, json={**order, "soft": soft}).status_code == 503
    assert "fwd=bypass" in patient.get("/image/cat").headers["cache-status"]


def test_a_purge_that_succeeded_before_the_outage_ends_it(
    patient: RunningEdge, origin: ScriptedOrigin, valkey: EmbeddedValkey, photo: bytes
) -> None:
    origin.script("/cat", *[Reply(photo, headers=FRESH)] * 2)
    warm(patient, "cat")
    assert patient.client.post("/purge", headers=ADMIN, json={"tag": "cats"}).status_code == 200
    shut_down(valkey)
    assert "fwd=bypass" in patient.get("/image/cat").headers["cache-status"]


class Watched(Generations):
    """Says when it listens, and when it has heard of a purge."""

    def __init__(self, store: GenerationStore, last_known: LastKnown) -> None:
        super().__init__(store, last_known, clock=lambda: 0.0)
        self.listens, self.heard = asyncio.Event(), asyncio.Event()

    def _hear(self, news: bytes) -> None:
        super()._hear(news)
        (self.heard if news else self.listens).set()


@pytest.mark.parametrize("soft", [False, True])
def test_a_purge_by_another_process_is_heard(
    cache: FilledCache,
    soft: bool,  # noqa: FBT001  (pytest passes it by name)
) -> None:
    record = cache.put("cat")
    lookup = Lookup("cat", cache.key("cat"))

    async def story() -> None:
        timeouts = Timeouts(timeout_s=30, retry_s=0)
        connection = Connection(cache.store.url, timeouts=timeouts, observer=Uncounted())
        generation_store = GenerationStore(connection, generations_key(cache.origin.url))
        last_known = LastKnown(3600)
        generations = Watched(generation_store, last_known)
        generations.listen()
        await generations.listens.wait()
        last_known.note(lookup, record)
        assert last_known.recall(lookup) is record
        purger = Purger(
            LatentStore(connection),
            Generations(generation_store, LastKnown(0)),
            origin=cache.origin.url,
            forget=lambda _: None,
            now=lambda: 0,
        )
        assert await purger.one("cat", soft=soft) == 1
        await generations.heard.wait()
        assert last_known.recall(lookup) is None
        last_known.note(lookup, record)
        assert last_known.recall(lookup) is None, "a lookup that began before the purge counts"
        await generations.close()
        await connection.close()

    asyncio.run(asyncio.wait_for(story(), 60))


class Uncounted:
    def count_store_error(self, _reason: str) -> None:
        """Count nothing."""


def test_a_record_counts_for_the_grace_time_only(cache: FilledCache) -> None:
    now_s = 0.0
    known = LastKnown(30, clock=lambda: now_s)
    lookup, record = Lookup("cat", cache.key("cat")), cache.record("cat")
    known.note(lookup, record)
    now_s = 30.0
    assert known.recall(lookup) is record
    now_s = 30.1
    assert known.recall(lookup) is None


def test_a_variant_is_found_by_the_fields_of_the_request(cache: FilledCache) -> None:
    known = LastKnown(30, clock=lambda: 0)
    rule = VaryRule(("accept-language",), bytes(16))
    english, french = (
        Lookup("cat", cache.key("cat"), ((b"accept-language", language),)) for language in (b"en", b"fr")
    )
    record = cache.record("cat")
    known.note(english.under(rule), record)
    assert known.recall(english) is record
    assert known.recall(french) is None
    known.forget(english.home)
    assert known.recall(english.__class__("cat", cache.key("cat"), english.fields, purges=1)) is None


def test_memory_is_bounded(cache: FilledCache) -> None:
    record = cache.record("cat")
    known = LastKnown(30, limit_bytes=3 * (1200 + len(record.bitstream)), clock=lambda: 0)
    lookups = [Lookup(str(number), record_key(str(number), origin="")) for number in range(5)]
    for lookup in lookups:
        known.note(lookup, record)
    assert [known.recall(lookup) is not None for lookup in lookups] == [False, False, True, True, True]


def test_a_purge_that_was_heard_of_and_not_read_makes_the_table_unknown(valkey: EmbeddedValkey) -> None:
    async def story() -> None:
        connection = Connection(valkey.url, timeouts=Timeouts(timeout_s=30, retry_s=0), observer=Uncounted())
        store = GenerationStore(connection, b"g:1")
        generations = Watched(store, LastKnown(0))
        assert generations.last_read() is None
        await generations.read()
        assert generations.last_read() is not None
        generations.listen()
        await generations.listens.wait()
        await store.advance(HARD)
        await generations.heard.wait()
        assert generations.last_read() is None
        await generations.read()
        assert generations.last_read() is not None
        await generations.close()
        await connection.close()

    asyncio.run(asyncio.wait_for(story(), 60))
