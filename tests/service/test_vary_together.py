"""Concurrent requests for several variants: the Vary of a picture is unknown until its first response."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.purging import HIT, LIMIT_S, MISS
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.tiers import own_store, told
from tests.service.varying import BY_LANGUAGE, DE, EN, FR, ask, gated, in_language, opened, under_way

VARY_MISS = "latentedge; fwd=vary-miss; stored"


@pytest.fixture
def twin(edge: RunningEdge, origin: ScriptedOrigin, session_valkey: EmbeddedValkey) -> Iterator[RunningEdge]:
    _ = edge
    with running_edge(read_settings(origin=origin.url, redis_url=session_valkey.url)) as twin:
        yield twin


def test_a_request_that_waited_for_another_variant_gets_its_own(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    first = gated(in_language("en"))
    origin.script("/cat", first, in_language("de"))
    with under_way(edge, EN) as english:
        assert first.arrived.wait(LIMIT_S)
        with under_way(edge, EN) as alike, under_way(edge, DE) as german, under_way(edge, DE) as another:
            opened(first)
    assert told(english[0]) == MISS
    assert told(alike[0]) == "latentedge; fwd=uri-miss; collapsed"
    tags = [answer[0].headers["etag"] for answer in (english, alike, german, another)]
    assert tags[0] == tags[1] != tags[2] == tags[3]
    assert {told(one[0]) for one in (german, another)} <= {VARY_MISS, "latentedge; fwd=vary-miss; collapsed", HIT}
    assert [ask(edge, asked).headers["etag"] for asked in (EN, DE)] == [tags[0], tags[2]]


def test_concurrent_requests_for_three_languages_make_three_fetches(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    first = gated(in_language("en"))
    origin.script("/cat", first, in_language("de"), in_language("fr"))

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=edge.url, timeout=120, trust_env=False) as client:
            tasks = [asyncio.create_task(client.get("/image/cat", headers=asked)) for asked in (EN, DE, FR) * 20]
            await asyncio.to_thread(edge.arrivals.wait_for, 60)
            opened(first)
            return await asyncio.gather(*tasks)

    answers = asyncio.run(crowd())
    tags = [{answer.headers["etag"] for answer in answers[number::3]} for number in range(3)]
    assert [len(one) for one in tags] == [1, 1, 1]
    assert len(set.union(*tags)) == 3


def test_known_variants_do_not_wait_for_each_other(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    german = gated(in_language("de"))
    origin.script("/cat", in_language("en"), german, in_language("fr"))
    ask(edge, EN)
    with under_way(edge, DE) as waiting:
        assert german.arrived.wait(LIMIT_S)
        assert told(ask(edge, FR)) == VARY_MISS
        assert told(ask(edge, EN)) == HIT
        assert not waiting
        opened(german)
    assert told(waiting[0]) == VARY_MISS


def test_two_edges_serve_each_variant_to_its_own_clients(
    edge: RunningEdge, twin: RunningEdge, origin: ScriptedOrigin
) -> None:
    first = gated(in_language("en"))
    origin.script("/cat", first, in_language("de"))
    with under_way(edge, EN) as english:
        assert first.arrived.wait(LIMIT_S)
        with under_way(twin, DE) as german, under_way(twin, EN) as alike:
            opened(first)
    tags = [answer[0].headers["etag"] for answer in (english, alike, german)]
    assert tags[0] == tags[1] != tags[2]
    assert [told(ask(one, asked)) for one in (edge, twin) for asked in (EN, DE)] == [HIT] * 4


def test_an_error_is_shared_only_by_requests_for_the_same_variant(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    first = gated(Reply(status=404, headers=BY_LANGUAGE))
    origin.script("/cat", first, in_language("de"))
    with under_way(edge, EN) as english:
        assert first.arrived.wait(LIMIT_S)
        with under_way(edge, EN) as alike, under_way(edge, DE) as german:
            opened(first)
    assert [answer[0].status_code for answer in (english, alike, german)] == [404, 404, 200]


def test_each_request_is_served_the_source_of_its_own_variant(
    origin: ScriptedOrigin, session_valkey: EmbeddedValkey
) -> None:
    first = gated(in_language("en"))
    origin.script("/cat", first, in_language("de"))
    url = own_store(session_valkey, 8)
    with running_edge(
        read_settings(origin=origin.url, redis_url=url, miss="source", latent_token=LATENT_TOKEN)
    ) as hasty:
        with under_way(hasty, EN) as english:
            assert first.arrived.wait(LIMIT_S)
            with under_way(hasty, EN) as alike, under_way(hasty, DE) as german:
                opened(first)
        tags = [answer[0].headers["etag"] for answer in (english, alike, german)]
        assert tags[0] == tags[1] != tags[2]
        latents = [hasty.latent("cat", asked).content for asked in (EN, DE)]
        assert latents[0] != latents[1]


def test_variants_without_a_store(origin: ScriptedOrigin) -> None:
    first = gated(in_language("en"))
    origin.script("/cat", first, in_language("de"))
    settings = read_settings(origin=origin.url, redis_url="unix:///none.sock")
    with running_edge(settings) as storeless, under_way(storeless, EN) as english:
        assert first.arrived.wait(LIMIT_S)
        with under_way(storeless, EN) as alike, under_way(storeless, DE) as german:
            opened(first)
    tags = [answer[0].headers["etag"] for answer in (english, alike, german)]
    assert tags[0] == tags[1] != tags[2]
