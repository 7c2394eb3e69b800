"""Demoted pictures as clients, child edges and operators see them: a real edge, its store and its origin."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import httpx
import numpy as np
import pytest
import redis

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from models.demoted_codec import DemotedCodec
from service.records.demoted import is_demoted
from service.records.record import Record
from service.render import image_file
from service.render.image_file import ImageLimits
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.demoting import Demoting
from tests.service.purging import BEARER, TOKEN, purge
from tests.service.running_edge import AS_A_CHILD, LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.shelf import Shelf
from tests.service.stored import afresh, stored_keys
from tests.service.test_refinement_stories import writes_to
from tests.service.test_revalidation import MODIFIED
from tests.service.test_source_first import wait_until
from tests.service.varying import DE, EN, Variants, ask, gated, in_language, opened, under_way
from tests.service.watched_codec import LIMIT_S

SAID = {"Cache-Control": "public, max-age=600", "ETag": '"v1"', "Last-Modified": MODIFIED, "Cache-Tag": "cats"}
NUMBERS = count()
REQUESTS = 6
"""For the generated picture, until it is fetched again."""


@pytest.fixture(scope="module")
def _edge(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    given = {"hold_off_s": 0, "refill_requests": REQUESTS, "admin_token": TOKEN, "latent_token": LATENT_TOKEN}
    with running_edge(read_settings(origin=_session_origin.url, redis_url=session_valkey.url, **given)) as edge:
        yield edge


@pytest.fixture
def edge(_edge: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    return afresh(_edge, session_valkey)


@dataclass(frozen=True)
class Demoted:
    """A demoted picture in the store of an edge."""

    edge: RunningEdge
    demoting: Demoting
    image_id: str

    @property
    def path(self) -> str:
        return f"/{self.image_id}"

    @property
    def key(self) -> bytes:
        return self.demoting.key(self.image_id)

    @property
    def record(self) -> Record:
        return self.demoting.record(self.image_id)

    def high(self, **conditions: str) -> httpx.Response:
        return self.edge.get(f"/image/{self.image_id}?res=high", headers=conditions)

    def medium(self, **conditions: str) -> httpx.Response:
        return self.edge.get(f"/image/{self.image_id}?res=medium", headers=conditions)


@pytest.fixture
def demoted(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, demoting_of: Demoting) -> Demoted:
    """Each test has a picture of its own, because the edge remembers the requests of the last hour."""
    picture = Demoted(edge, demoting_of, f"cat{next(NUMBERS)}")
    origin.script(picture.path, Reply(photo, headers=SAID))
    picture.high()
    demoting_of.demote(picture.image_id)
    return picture


@pytest.fixture
def shelf(store: redis.Redis, origin: ScriptedOrigin, demoted: Demoted) -> Shelf:
    return Shelf(store, origin, demoted.image_id)


def told(answer: httpx.Response) -> str:
    """The Cache-Status without the lifetime."""
    parts = answer.headers["cache-status"].split("; ")
    return "; ".join(part for part in parts[1:] if not part.startswith("ttl="))


def pixels(answer: httpx.Response) -> np.ndarray:
    return image_file.read(answer.content, limits=ImageLimits(10**7)).pixels


def test_the_medium_picture_is_decoded_and_the_high_one_generated(demoted: Demoted) -> None:
    codec = DemotedCodec.load(Codec.load())
    symbols = codec.read(demoted.record.bitstream)
    for ask_for, size_px, said in (
        (demoted.medium, MEDIUM_PX, "hit"),
        (demoted.high, HIGH_PX, "hit; detail=generated"),
    ):
        answer, (expected,) = ask_for(Accept="image/png"), codec.synthesize([symbols], size_px=size_px)
        assert told(answer) == said
        assert np.abs(pixels(answer).astype(int) - expected).max() <= 2, f"the picture of {size_px} px is another one"


def test_clients_may_keep_a_generated_picture_for_a_short_time_only(
    edge: RunningEdge, demoted: Demoted, shelf: Shelf
) -> None:
    real = demoted.medium()
    assert (real.headers["cache-control"], real.headers["last-modified"]) == (SAID["Cache-Control"], MODIFIED)
    for age_s in (0, 300, 590 - 300):
        shelf.age(age_s)
        answer = demoted.high()
        max_age_s = int(answer.headers["cache-control"].rpartition("max-age=")[2])
        left_s = max_age_s - int(answer.headers["age"])
        assert 0 < left_s <= edge.settings.generated_ttl_s == 60
        assert f"ttl={left_s};" in answer.headers["cache-status"]
        assert "last-modified" not in answer.headers
    assert is_demoted(demoted.record)


def test_a_generated_picture_validates_as_itself_alone(
    edge: RunningEdge, demoted: Demoted, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/dog", Reply(photo, headers=SAID))
    real = {size: edge.get(f"/image/dog?res={size}").headers["etag"] for size in ("high", "medium")}
    generated, medium = demoted.high().headers["etag"], demoted.medium().headers["etag"]
    assert len({*real.values(), generated, medium}) == 4
    assert demoted.high(**{"If-None-Match": generated}).status_code == 304
    assert demoted.medium(**{"If-None-Match": medium}).status_code == 304
    for condition in ({"If-None-Match": real["high"]}, {"If-Modified-Since": MODIFIED}):
        answer = demoted.high(**condition)
        assert (answer.status_code, told(answer)) == (200, "hit; detail=generated")
    assert edge.get("/image/dog?res=high", headers={"If-None-Match": generated}).status_code == 200
    assert is_demoted(demoted.record)


def test_the_preview_of_the_source_does_not_pass_for_it(demoted: Demoted) -> None:
    from service.rules.conditional import source_entity_tag

    preview = source_entity_tag(demoted.record.source_digest, size_px=HIGH_PX, media_type="image/jpeg")
    assert demoted.high(**{"If-None-Match": preview}).status_code == 200


def test_a_child_gets_the_high_latent_which_is_fetched_again(
    edge: RunningEdge, demoted: Demoted, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script(demoted.path, Reply(photo, headers=SAID))
    answer = edge.latent(demoted.image_id)
    assert told(answer) == "fwd=uri-miss; stored; detail=demoted"
    record = demoted.record
    assert not is_demoted(record)
    assert answer.content == record.bitstream
    assert told(edge.latent(demoted.image_id)) == "hit"


def test_a_child_whose_fetch_fails_gets_the_error_and_the_picture_stays(
    edge: RunningEdge, demoted: Demoted, origin: ScriptedOrigin
) -> None:
    origin.script(demoted.path, Reply(status=503))
    assert edge.latent(demoted.image_id).status_code == 503
    assert told(demoted.high()) == "hit; detail=generated"
    origin.script(demoted.path, Reply(status=404))
    assert edge.latent(demoted.image_id).status_code == 404
    assert demoted.high().status_code == 404  # the origin's latest answer, as after a validation
    assert stored_keys(demoted.demoting.store) == [demoted.key]


def test_a_child_that_comes_during_a_validation_gets_the_high_latent(
    edge: RunningEdge, demoted: Demoted, shelf: Shelf, origin: ScriptedOrigin, photo: bytes
) -> None:
    shelf.age(601)
    confirmed = gated(Reply(status=304))
    origin.script(demoted.path, confirmed, Reply(photo, headers=SAID))
    with under_way(edge, {}, f"/image/{demoted.image_id}") as shown:
        assert confirmed.arrived.wait(LIMIT_S)
        with under_way(edge, AS_A_CHILD, f"/latent/{demoted.image_id}") as handed_on:
            opened(confirmed)
    assert told(shown[0]) == "fwd=stale; fwd-status=304; stored; detail=generated"
    assert handed_on[0].content == demoted.record.bitstream
    assert not is_demoted(demoted.record)


def test_a_picture_that_is_hot_again_is_fetched_behind_the_answer(
    edge: RunningEdge, demoted: Demoted, origin: ScriptedOrigin, photo: bytes
) -> None:
    refills = edge.metric("edge_demoted_refills_total")
    generated = edge.metric("edge_generated_total")
    for _ in range(2 * REQUESTS):
        assert told(demoted.medium()) == "hit"  # the medium latent is as good as the high one for these
    first, *_ = [demoted.high() for _ in range(REQUESTS - 1)]
    assert len(origin.requests) == 1
    origin.script(demoted.path, Reply(photo, headers=SAID))
    with writes_to(demoted.demoting.store, demoted.key) as written:
        second = demoted.high()
        written()
    assert told(first) == told(second) == "hit; detail=generated"
    third = demoted.high(**{"If-None-Match": second.headers["etag"]})
    assert (third.status_code, told(third)) == (200, "hit")
    assert edge.metric("edge_demoted_refills_total") - refills == 1
    assert edge.metric("edge_generated_total") - generated == REQUESTS


def test_a_304_keeps_the_demoted_record_with_new_dates(demoted: Demoted, shelf: Shelf, origin: ScriptedOrigin) -> None:
    before = demoted.record
    shelf.age(601)
    origin.script(demoted.path, Reply(status=304))
    assert told(demoted.high()) == "fwd=stale; fwd-status=304; stored; detail=generated"
    after = demoted.record
    assert after.bitstream == before.bitstream
    assert after.born_ms >= before.born_ms
    assert told(demoted.medium()) == "hit"


def test_the_same_file_sent_again_replaces_the_medium_latent(
    demoted: Demoted, shelf: Shelf, origin: ScriptedOrigin, photo: bytes
) -> None:
    shelf.age(601)
    origin.script(demoted.path, Reply(photo, headers=SAID))
    assert told(demoted.high()) == "fwd=stale; fwd-status=200; stored"
    assert not is_demoted(demoted.record)


@pytest.mark.parametrize("order", [{"id": ""}, {"tag": "cats"}, {"all": True}])
def test_purges_remove_it(
    edge: RunningEdge, demoted: Demoted, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
) -> None:
    purge(edge, **({"id": demoted.image_id} if "id" in order else order))
    origin.script(demoted.path, Reply(photo, headers=SAID))
    assert told(demoted.high()).startswith("fwd=uri-miss; stored")
    assert not is_demoted(demoted.record)


def test_a_soft_purge_makes_it_stale(edge: RunningEdge, demoted: Demoted, origin: ScriptedOrigin) -> None:
    purge(edge, id=demoted.image_id, soft=True)
    origin.script(demoted.path, Reply(status=304))
    assert told(demoted.medium()) == "fwd=stale; fwd-status=304; stored"
    assert is_demoted(demoted.record)


def test_each_variant_is_demoted_for_itself(
    edge: RunningEdge, demoting_of: Demoting, origin: ScriptedOrigin, store: redis.Redis
) -> None:
    origin.script("/cat", in_language("en"), in_language("de"))
    ask(edge, EN)
    ask(edge, DE)
    variants = Variants(store, origin)
    for asked in (EN, DE):
        demoting_of.cool(variants.key(asked), frequency=100)
    demoting_of.cool(variants.key(EN))
    assert demoting_of.work() == 1
    assert told(ask(edge, EN)) == "hit; detail=generated"
    assert told(ask(edge, DE)) == "hit"
    assert edge.client.request("PURGE", "/image/cat", headers=BEARER).status_code == 200
    origin.script("/cat", in_language("en"))
    assert told(ask(edge, EN)) == "fwd=uri-miss; stored"


def test_the_figures_count_it_as_any_other(edge: RunningEdge, demoted: Demoted) -> None:
    wait_until(lambda: edge.stats()["store"]["objects"] == 1)  # a census is reused for two seconds
    figures = edge.stats()["store"]
    assert len(demoted.record.bitstream) < figures["latent_bytes"] < figures["conventional_bytes"]


def test_the_setting_demotes_in_the_background(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, demoting_of: Demoting
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    settings = read_settings(origin=origin.url, redis_url=valkey.url, demote=0.3)
    with running_edge(settings) as edge, redis.Redis.from_url(valkey.url) as store:
        edge.get("/image/cat?res=high")
        key = demoting_of.key("cat")
        # A picture that was read once since its fill counts as used for a minute.
        store.restore(key, store.pttl(key), store.dump(key), replace=True, frequency=0)
        with writes_to(store, key) as written:
            store.config_set("maxmemory", 2 * int(store.info("memory")["used_memory"]))
            written()
        assert told(edge.get("/image/cat?res=high")) == "hit; detail=generated"
        while not edge.metric('edge_demotions_total{outcome="stored"}'):
            pass
        saved = [edge.metric(f'edge_demoted_bytes_total{{latent="{latent}"}}') for latent in ("medium", "high")]
        assert 0 < saved[0] < saved[1]
