"""A purge removes every variant of a picture, and no fetch from before it stores one again."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from service.records.generations import Generations
from service.records.grant import Grant
from service.records.last_known import LastKnown
from service.records.negative_cache import NegativeCache
from service.records.record_reader import Books
from service.records.record_store import RecordStore
from service.records.vary_rule import VaryRule, pack_rule
from service.rules.freshness import FreshnessRules
from service.rules.vary import NO_FIELDS
from service.store.connection import Connection, Timeouts
from service.store.embedded import EmbeddedValkey
from service.store.generation_store import GenerationStore
from service.store.latent_store import LatentStore, Token
from tests.service.held_encodes import held_encodes
from tests.service.purging import HIT, LIMIT_S, MISS, VALIDATED, purge, purging_edge
from tests.service.running_edge import LATENT_TOKEN, RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.test_revalidation import encodes
from tests.service.test_store import Alarms
from tests.service.tiers import own_store, told
from tests.service.varying import DE, EN, Variants, ask, gated, in_language, opened, under_way

VARY_MISS = "latentedge; fwd=vary-miss; stored"


@pytest.fixture
def variants(edge: RunningEdge, store: redis.Redis, origin: ScriptedOrigin) -> Variants:
    _ = edge  # empties the store
    return Variants(store, origin)


@pytest.fixture(scope="module")
def _able(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    with purging_edge(_session_origin.url, session_valkey.url) as able:
        yield able


@pytest.fixture
def able(_able: RunningEdge, edge: RunningEdge) -> RunningEdge:
    """An edge that can purge, with the same empty store as `edge`."""
    _ = edge
    return _able


@pytest.mark.parametrize("order", [{"id": "cat"}, {"tag": "cats"}, {"all": True}])
def test_a_purge_removes_all_variants(
    able: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, order: dict[str, object]
) -> None:
    origin.script("/cat", *[in_language("en"), in_language("de")] * 2)
    assert [told(ask(able, asked)) for asked in (EN, DE)] == [MISS, VARY_MISS]
    assert purge(able, **order).get("purged", 1) == 1
    assert [told(ask(one, asked))[-6:] for one in (able, edge) for asked in (EN, DE)] == ["stored"] * 2 + ["e; hit"] * 2
    assert not {"If-None-Match", "If-Modified-Since"} & set(origin.requests[-1].headers)


@pytest.mark.parametrize("order", [{"id": "cat"}, {"tag": "cats"}, {"all": True}])
def test_after_a_soft_purge_each_variant_is_validated_once(
    able: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, order: dict[str, object]
) -> None:
    origin.script("/cat", in_language("en"), in_language("de"), *[Reply(status=304)] * 2)
    for asked in (EN, DE):
        ask(able, asked)
    encoded = encodes(able)
    assert purge(able, **order, soft=True).get("purged", 1) == 1
    assert [told(ask(able, asked)) for asked in (EN, DE)] == [VALIDATED, VALIDATED]
    assert [told(ask(one, asked)) for one in (able, edge) for asked in (EN, DE)] == [HIT] * 4
    assert [request.headers["If-None-Match"] for request in origin.requests[-2:]] == ['"en"', '"de"']
    assert encodes(able) == encoded


@pytest.mark.parametrize("soft", [False, True])
def test_a_fill_of_a_variant_at_another_edge_stores_nothing_that_was_purged(
    able: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, *, soft: bool
) -> None:
    old = in_language("de")
    gate = threading.Event()
    late = Reply(old.body, headers=old.headers, gate=gate)
    origin.script("/cat", in_language("en"), late, in_language("fr"))
    ask(edge, EN)
    with under_way(edge, DE) as first:
        assert late.arrived.wait(LIMIT_S)
        assert purge(able, id="cat", soft=soft)["purged"] == 1
        gate.set()
    assert "stored" not in told(first[0])
    now = ask(edge, DE)
    assert "stored" in told(now)
    assert now.headers["etag"] != first[0].headers["etag"]


@pytest.mark.parametrize("soft", [False, True])
def test_a_validation_of_a_variant_at_another_edge_renews_nothing_that_was_purged(
    able: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, variants: Variants, *, soft: bool
) -> None:
    late = gated(Reply(status=304))
    origin.script("/cat", in_language("en"), late, in_language("fr"))
    ask(edge, EN)
    variants.age(EN, 601)
    with under_way(edge, EN) as first:
        assert late.arrived.wait(LIMIT_S)
        assert purge(able, id="cat", soft=soft)["purged"] == 1
        opened(late)
    assert told(first[0]) == "latentedge; fwd=stale; fwd-status=304"
    now = ask(edge, EN)
    assert "stored" in told(now)
    assert now.headers["etag"] != first[0].headers["etag"]


def test_a_source_served_before_a_soft_purge_is_not_served_after_it(
    origin: ScriptedOrigin, session_valkey: EmbeddedValkey
) -> None:
    """With EDGE_MISS=source, the encode of the old variant is still running."""
    origin.script("/cat", in_language("en"), in_language("de"), in_language("fr"))
    with purging_edge(origin.url, own_store(session_valkey, 8), miss="source", latent_token=LATENT_TOKEN) as hasty:
        hasty.latent("cat", EN)
        with held_encodes() as held:
            before = ask(hasty, DE)
            assert held.begun.wait(LIMIT_S)
            assert purge(hasty, id="cat", soft=True)["purged"] == 1
            with under_way(hasty, DE) as after:
                held.may_go_on.set()
        assert after[0].headers["etag"] != before.headers["etag"]


def test_a_request_after_the_purge_does_not_join_a_fetch_from_before_it(
    able: RunningEdge, origin: ScriptedOrigin
) -> None:
    gate = threading.Event()
    late = Reply(in_language("de").body, headers=in_language("de").headers, gate=gate)
    origin.script("/cat", in_language("en"), late, in_language("fr"))
    ask(able, EN)
    with under_way(able, DE) as first:
        assert late.arrived.wait(LIMIT_S)
        purge(able, id="cat")
        now = ask(able, DE)
        gate.set()
    assert now.headers["etag"] != first[0].headers["etag"]
    assert told(ask(able, DE)) == HIT


def test_a_grant_ends_with_its_vary_rule(valkey: EmbeddedValkey) -> None:
    """The edge has not read the purge table yet."""

    async def story() -> list[bool]:
        connection = Connection(valkey.url, timeouts=Timeouts(timeout_s=60, retry_s=0), observer=Alarms())
        store = LatentStore(connection)
        generations = Generations(
            GenerationStore(connection, b"g:1"), LastKnown(0), clock=lambda: 0.0
        )  # it reads but once
        negative_cache = NegativeCache(store, FreshnessRules(default_ttl_s=60), now=time.time)
        books = Books("http://o", frozenset({b"1234"}), foreign_hold_s=0)
        record_store = RecordStore(
            store, books, generations=generations, last_known=LastKnown(0), negative_cache=negative_cache, now=time.time
        )
        rule = VaryRule(("foo",), bytes(16))
        with redis.Redis.from_url(valkey.url) as direct:
            home = record_store.home("cat")
            direct.set(home, pack_rule(rule, home))
            lookup = await record_store.lookup("cat", NO_FIELDS)
            token = Token(lookup.lease, b"token")
            await store.take(token, ttl_ms=60_000)
            grant = Grant(token, lookup, (await record_store.purges()).latest)
            over = [await record_store.writes.is_over(grant)]
            direct.set(home, pack_rule(replace(rule, stale_before=1), home))
            over.append(await record_store.writes.is_over(grant))
        await connection.close()
        return over

    assert asyncio.run(story()) == [False, True]
