"""Edges that fill from the latents of a parent edge: one encode and one fetch for all tiers."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.records.latent_facts import FIELD, read_facts
from service.records.record import source_digest
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.purging import purge, purging_edge
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.test_stories import size_of
from tests.service.tiers import MODIFIED, SAID, aged, change, child_of, encodes, own_store, passed_over, record_of, told


@pytest.fixture(scope="module")
def _child(session_valkey: EmbeddedValkey, _session_edge: RunningEdge) -> Iterator[RunningEdge]:
    origin = _session_edge.settings.origin
    with child_of(_session_edge.url, session_valkey, origin=origin, parent_retry_s=0) as edge:
        yield edge


@pytest.fixture
def child(_child: RunningEdge, edge: RunningEdge) -> RunningEdge:
    """An edge with an empty store, whose parent is `edge`."""
    _ = edge
    return _child


@contextmanager
def child_of_a_storeless(origin: ScriptedOrigin, server: EmbeddedValkey) -> Iterator[RunningEdge]:
    """An edge with a store, whose parent has none."""
    storeless = read_settings(origin=origin.url, redis_url="unix:///none.sock", latent_token=LATENT_TOKEN)
    with running_edge(storeless) as parent, child_of(parent.url, server, store=3, origin=origin.url) as below:
        yield below


def test_a_child_fills_from_its_parent(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    encoded = encodes(child)
    below = child.get("/image/cat?res=medium")
    above = edge.get("/image/cat?res=medium")
    assert told(below) == "latentedge; fwd=uri-miss; stored"
    assert told(above) == "latentedge; hit"
    assert below.headers["etag"] == above.headers["etag"]
    assert below.content == above.content
    assert told(child.get("/image/cat")) == "latentedge; hit"
    assert encodes(child) == encoded
    ours, theirs = record_of(child, "cat"), record_of(edge, "cat")
    assert ours.bitstream == theirs.bitstream
    assert (ours.passed, ours.origin_etag, ours.lifetime_s) == (theirs.passed, '"v1"', 600)
    assert (ours.source_digest, ours.source_bytes) == (theirs.source_digest, theirs.source_bytes)
    assert (ours.conventional_high_bytes, ours.conventional_medium_bytes) == (
        theirs.conventional_high_bytes,
        theirs.conventional_medium_bytes,
    )


def test_a_child_passes_on_the_fields_for_other_sites(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    said = {"Cross-Origin-Resource-Policy": "cross-origin", "X-Robots-Tag": "noindex"}
    origin.script("/cat", Reply(photo, headers={**SAID, **said}))
    below = [child.get("/image/cat?res=medium") for _ in range(2)]
    assert all(answer.headers.items() >= {(name.lower(), value) for name, value in said.items()} for answer in below)
    assert record_of(child, "cat").passed == record_of(edge, "cat").passed


def test_age_counts_from_the_origin(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    edge.get("/image/cat")
    aged(edge, "cat", 500)
    below = child.get("/image/cat")
    assert 500 <= int(below.headers["age"]) < 590
    assert 500_000 <= record_of(child, "cat").filled_ms - record_of(child, "cat").born_ms < 590_000


def test_three_tiers_ask_the_origin_once(
    child: RunningEdge,
    edge: RunningEdge,
    origin: ScriptedOrigin,
    photo: bytes,
    session_valkey: EmbeddedValkey,
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    with child_of(child.url, session_valkey, store=3, origin=origin.url) as grandchild:
        below = grandchild.get("/image/cat")
    assert below.headers["etag"] == child.get("/image/cat").headers["etag"] == edge.get("/image/cat").headers["etag"]


def test_a_child_validates_with_its_parent(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    child.get("/image/cat")
    aged(child, "cat", 601)
    before = record_of(child, "cat")
    answer = child.get("/image/cat")
    assert told(answer) == "latentedge; fwd=stale; fwd-status=304; stored"
    assert int(answer.headers["age"]) < 100
    after = record_of(child, "cat")
    assert after.bitstream == before.bitstream
    assert (after.origin_etag, after.passed.last_modified) == ('"v1"', MODIFIED)
    _ = edge


def test_a_child_takes_over_a_better_latent_of_its_parent(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    first = child.get("/image/cat")
    change(edge, "cat", refinement=9)
    aged(child, "cat", 601)
    second = child.get("/image/cat")
    assert told(second) == "latentedge; fwd=stale; fwd-status=200; stored"
    assert record_of(child, "cat").refinement == 9
    assert second.headers["etag"] == edge.get("/image/cat").headers["etag"] != first.headers["etag"]


def test_a_parent_validates_a_stale_latent_before_it_serves_it(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    said = {**SAID, "Cache-Control": "max-age=600, stale-while-revalidate=600"}
    origin.script("/cat", Reply(photo, headers=said), Reply(status=304, headers=said))
    edge.get("/image/cat")
    aged(edge, "cat", 601)
    below = child.get("/image/cat")
    assert told(below) == "latentedge; fwd=uri-miss; stored"
    assert int(below.headers.get("age", 0)) < 600


def test_a_stale_latent_of_the_parent_stays_stale(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    """The child serves it while the origin fails, and validates it as soon as the origin is back."""
    origin.script("/cat", Reply(photo, headers=SAID), Reply(status=503), Reply(status=304))
    edge.get("/image/cat")
    aged(edge, "cat", 601)
    below = child.get("/image/cat")
    assert below.status_code == 200
    assert int(below.headers["age"]) >= 601
    assert told(child.get("/image/cat")) == "latentedge; fwd=stale; fwd-status=304; stored"


def test_a_child_does_not_freshen_a_softly_purged_picture(
    origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey
) -> None:
    """Its dates say that it is fresh, but the parent marks it as stale."""
    origin.script("/cat", Reply(photo, headers=SAID), Reply(status=503), Reply(status=304))
    with (
        purging_edge(origin.url, own_store(session_valkey, 3), hold_off_s=0, latent_token=LATENT_TOKEN) as parent,
        child_of(parent.url, session_valkey, store=4, origin=origin.url) as below,
    ):
        parent.get("/image/cat")
        purge(parent, id="cat", soft=True)
        assert told(below.get("/image/cat")) == "latentedge; fwd=uri-miss; stored"
        assert told(below.get("/image/cat")) == "latentedge; fwd=stale; fwd-status=304; stored"
        assert told(below.get("/image/cat")) == "latentedge; hit"


TAGGED = {**SAID, "Cache-Tag": "cats", "Surrogate-Key": "a"}


def test_tags_reach_the_edges_and_no_client(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=TAGGED))
    shown = child.get("/image/cat")
    assert not {"cache-tag", "surrogate-key"} & shown.headers.keys()
    assert edge.latent("cat").headers["cache-tag"] == "cats,a"
    assert record_of(child, "cat").tags == ("cats", "a")


def test_tags_and_facts_reach_the_edges_with_pixels_too(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey
) -> None:
    """The child makes the same record as an edge that fetched the file itself."""
    origin.script("/cat", *[Reply(photo, headers=TAGGED)] * 2)
    edge.get("/image/cat")
    with child_of_a_storeless(origin, session_valkey) as below:
        below.get("/image/cat")
        record = record_of(below, "cat")
        assert record.tags == ("cats", "a")
        assert (record.source_digest, record.source_bytes) == (source_digest(photo), len(photo))
        assert record.bitstream == record_of(edge, "cat").bitstream, "the latent of other pixels"


def test_a_child_without_a_store_serves_the_picture_of_its_parent(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    storeless = read_settings(
        origin=origin.url, parent=edge.url, parent_token=LATENT_TOKEN, redis_url="unix:///none.sock"
    )
    with running_edge(storeless) as child:
        for res, side_px in (("high", 344), ("medium", 172)):
            answer = child.get(f"/image/cat?res={res}")
            assert answer.headers["cache-status"] == "latentedge; fwd=bypass; detail=store-unavailable"
            assert size_of(answer) == (side_px, side_px)


def test_a_404_of_the_origin_is_passed_on_by_the_parent(child: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/gone", Reply(status=404, headers={"Cache-Control": "max-age=60"}))
    for _ in range(2):
        assert child.get("/image/gone").status_code == 404
    assert child.metric('edge_parent_requests_total{outcome="refused"}') >= 1


def test_a_404_that_the_parent_passes_on_replaces_the_stale_picture_of_the_child(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID), Reply(status=404, headers={"Cache-Control": "max-age=60"}))
    child.get("/image/cat")
    aged(edge, "cat", 601)
    aged(child, "cat", 601)
    first, second = child.get("/image/cat"), child.get("/image/cat")
    assert first.headers["cache-status"] == "latentedge; fwd=stale; fwd-status=404"
    assert second.status_code == 404
    assert second.headers["cache-status"].startswith("latentedge; hit; ttl=")


@pytest.mark.parametrize("control", ["no-store", "private"])
def test_a_parent_passes_on_a_picture_that_it_may_not_store(
    child: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, control: str
) -> None:
    origin.script("/mine", *[Reply(photo, headers={"Cache-Control": control})] * 3)
    medium, high, above = child.get("/image/mine?res=medium"), child.get("/image/mine"), edge.get("/image/mine")
    for answer in (medium, high):
        assert answer.headers["cache-control"] == control
        assert answer.headers["cache-status"] == f"latentedge; fwd=uri-miss; detail={control}"
    assert (size_of(medium), size_of(high)) == ((172, 172), (344, 344))
    assert high.headers["etag"] == above.headers["etag"]
    assert high.content == above.content, "a picture of other pixels than the parent's"


@pytest.mark.parametrize("control", ["no-store", "private"])
def test_a_child_gets_the_pixels_of_an_unstored_picture_and_not_its_file(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, control: str
) -> None:
    """The file may have a hundred times as many pixels, and the location in its metadata."""
    origin.script("/mine", *[Reply(photo, headers={"Cache-Control": control})] * 2)
    for_a_child, for_clients = edge.latent("mine"), edge.get("/image/mine?fmt=png")
    assert for_a_child.content == for_clients.content, "another file than a client's"
    assert for_a_child.headers["etag"] == for_clients.headers["etag"]
    facts = read_facts(for_a_child.headers[FIELD])
    assert facts is not None
    assert facts.source_digest == source_digest(photo)


def test_a_no_transform_file_passes_through_all_tiers_unchanged(
    child: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/art", Reply(photo, headers={**SAID, "Cache-Control": "no-transform, max-age=600"}))
    answer = child.get("/image/art")
    assert answer.content == photo
    assert answer.headers["etag"] == '"v1"'


def test_a_parent_without_a_store_passes_the_picture_on(
    origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    with child_of_a_storeless(origin, session_valkey) as below:
        assert told(below.get("/image/cat")) == "latentedge; fwd=uri-miss; stored"
        assert told(below.get("/image/cat")) == "latentedge; hit"
        assert record_of(below, "cat").origin_etag == '"v1"'


def test_a_parent_that_is_down_gets_no_requests_during_the_back_off(
    origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey
) -> None:
    origin.script("/one", Reply(photo, headers=SAID))
    origin.script("/two", Reply(photo, headers=SAID))
    with child_of("http://127.0.0.1:9", session_valkey, store=3, origin=origin.url, parent_retry_s=600) as orphan:
        for image_id in ("one", "two"):
            assert told(orphan.get(f"/image/{image_id}")) == "latentedge; fwd=uri-miss; stored"
        assert passed_over(orphan, "unreachable") == 1
        assert passed_over(orphan, "left_alone") == 1


def test_edges_that_are_parents_of_each_other_ask_the_origin(
    origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey, unused_port: int
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    tokens = {"parent_token": LATENT_TOKEN, "latent_token": LATENT_TOKEN, "parent_timeout_s": 60}
    parent = f"http://127.0.0.1:{unused_port}"
    first = read_settings(origin=origin.url, parent=parent, redis_url=own_store(session_valkey, 3), **tokens)
    with running_edge(first) as one:
        second = read_settings(origin=origin.url, parent=one.url, redis_url=own_store(session_valkey, 4), **tokens)
        with running_edge(second, port=unused_port) as other:
            assert told(one.get("/image/cat")) == "latentedge; fwd=uri-miss; stored"
            assert passed_over(one, "too_slow") == passed_over(other, "too_slow") == 0, "it waited for itself"
            assert passed_over(other, "loop") == 1
            assert passed_over(one, "loop") == 0
            assert record_of(other, "cat").bitstream == record_of(one, "cat").bitstream
