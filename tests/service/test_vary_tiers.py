"""Variants between tiers: a child forwards the fields of its client to its parent."""

from collections.abc import Iterator

import pytest
import redis

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.purging import HIT, MISS, VALIDATED
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import ScriptedOrigin
from tests.service.stored import emptied, stored_keys
from tests.service.test_revalidation import encodes
from tests.service.tiers import child_of, own_store, told
from tests.service.varying import DE, EN, FR, Variants, ask, in_language

VARY_MISS = "latentedge; fwd=vary-miss; stored"


@pytest.fixture
def child(edge: RunningEdge, session_valkey: EmbeddedValkey) -> Iterator[RunningEdge]:
    with child_of(edge.url, session_valkey, store=10, origin=edge.settings.origin, parent_retry_s=0) as child:
        yield child


def test_a_child_gets_the_variants_of_its_clients(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin
) -> None:
    origin.script("/cat", in_language("en"), in_language("de"), in_language("fr"))
    above = [ask(edge, asked) for asked in (EN, DE)]
    below = [ask(child, asked) for asked in (EN, DE, FR)]
    assert [told(one) for one in below] == [MISS, VARY_MISS, VARY_MISS]
    assert [one.headers["etag"] for one in below[:2]] == [one.headers["etag"] for one in above]
    assert [told(ask(child, asked)) for asked in (EN, DE, FR)] == [HIT] * 3
    assert {one.headers["vary"] for one in below} == {"Accept-Language, Accept"}
    assert encodes(child) == 0
    assert ask(edge, FR).headers["etag"] == below[2].headers["etag"]


def test_a_child_validates_a_variant_with_its_parent(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin
) -> None:
    origin.script("/cat", in_language("en"), in_language("de"))
    for asked in (EN, DE):
        ask(child, asked)
    with redis.Redis.from_url(child.settings.redis_url) as store:
        Variants(store, origin).age(DE, 601)
    answer = ask(child, DE)
    assert told(answer) == VALIDATED
    assert answer.headers["etag"] == ask(edge, DE).headers["etag"]


def test_a_parent_serves_no_latent_of_a_picture_whose_variants_it_cannot_tell_apart(
    origin: ScriptedOrigin, session_valkey: EmbeddedValkey
) -> None:
    """A parent that forwards no fields has one picture for all requests, which may be the wrong variant."""
    origin.script("/cat", *[in_language("en")] * 2)
    deaf = read_settings(
        origin=origin.url, redis_url=own_store(session_valkey, 11), forward="none", latent_token=LATENT_TOKEN
    )
    with (
        running_edge(deaf) as parent,
        child_of(parent.url, session_valkey, store=10, origin=origin.url) as child,
        redis.Redis.from_url(deaf.redis_url) as store,
    ):
        assert [told(ask(child, asked)) for asked in (EN, DE, EN)] == [MISS, VARY_MISS, HIT]
        assert not stored_keys(store)
        emptied(store)
