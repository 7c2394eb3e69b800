"""A final error of the origin replaces the stale record that it was asked about, unless something newer is stored."""

import threading
from collections.abc import Callable

import httpx
import pytest
import redis

from service.records.store_keys import record_key
from tests.service.purging import purge
from tests.service.releases import newer
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.shelf import Shelf
from tests.service.test_lease import asked_of
from tests.service.test_refinement_stories import writes_to
from tests.service.test_revalidation import BRIEF, encodes, told
from tests.service.test_source_errors import UNUSABLE
from tests.service.varying import DE, EN, Variants, ask, in_language

LIMIT_S = 60
KEPT = {"Cache-Control": "max-age=600"}
WHILE = {**BRIEF, "Cache-Control": "max-age=600, stale-while-revalidate=600"}
REFUSALS: dict[str, tuple[int, Callable[[bytes], Reply]]] = {
    "404": (404, lambda _: Reply(status=404)),
    "410": (410, lambda _: Reply(status=410)),
    "403 with a lifetime": (403, lambda _: Reply(status=403, headers=KEPT)),
    **UNUSABLE,
}


@pytest.fixture
def edge(edge_that_purges: RunningEdge) -> RunningEdge:
    return edge_that_purges


@pytest.fixture
def key(origin: ScriptedOrigin) -> bytes:
    return record_key("cat", origin=origin.url)


def is_remembered(answer: httpx.Response, status: int) -> bool:
    return answer.status_code == status and answer.headers["cache-status"].startswith("latentedge; hit; ttl=")


@pytest.mark.parametrize("control", ["max-age=600", "max-age=600, must-revalidate", "max-age=600, stale-if-error=9999"])
@pytest.mark.parametrize("what", REFUSALS)
def test_a_final_error_is_remembered_instead_of_the_stale_picture(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, what: str, control: str
) -> None:
    """RFC 9111 4, RFC 5861 4."""
    status, reply = REFUSALS[what]
    origin.script("/cat", Reply(photo, headers={**BRIEF, "Cache-Control": control}), reply(photo))
    edge.get("/image/cat")
    shelf.age(601)
    first, *later = (edge.get("/image/cat") for _ in range(3))
    assert first.status_code == status
    assert first.headers["cache-status"].startswith("latentedge; fwd=stale")
    assert all(is_remembered(answer, status) for answer in later)
    assert shelf.ttl_s() <= 600


@pytest.mark.parametrize("what", REFUSALS)
def test_a_validation_in_the_background_replaces_it_too(  # noqa: PLR0913, PLR0917  (fixtures)
    edge: RunningEdge,
    origin: ScriptedOrigin,
    store: redis.Redis,
    photo: bytes,
    shelf: Shelf,
    key: bytes,
    what: str,
) -> None:
    """RFC 5861 3."""
    status, reply = REFUSALS[what]
    origin.script("/cat", Reply(photo, headers=WHILE), reply(photo))
    edge.get("/image/cat")
    shelf.age(601)
    with writes_to(store, key) as written:
        assert edge.get("/image/cat").headers["cache-status"].endswith("detail=stale-while-revalidate")
        written()
    assert all(is_remembered(edge.get("/image/cat"), status) for _ in range(2))


def test_a_picture_comes_back_when_the_error_has_expired(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, shelf: Shelf, key: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=BRIEF), Reply(status=404), Reply(photo, headers=BRIEF))
    edge.get("/image/cat")
    shelf.age(601)
    edge.get("/image/cat")
    assert 50 <= shelf.ttl_s() <= 60
    store.delete(key)
    assert told(edge.get("/image/cat")) == "latentedge; fwd=uri-miss; stored"


def test_a_server_error_replaces_nothing(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf) -> None:
    said = {**BRIEF, "Cache-Control": "max-age=600, must-revalidate"}
    origin.script("/cat", Reply(photo, headers=said), Reply(status=503, headers=KEPT), Reply(status=304))
    edge.get("/image/cat")
    shelf.age(601)
    encoded = encodes(edge)
    assert edge.get("/image/cat").status_code == 503
    assert "fwd-status=304" in edge.get("/image/cat").headers["cache-status"]
    assert encodes(edge) == encoded


@pytest.mark.parametrize("control", ["no-store", "no-cache", "max-age=0"])
@pytest.mark.parametrize("status", [404, 410])
def test_a_picture_that_is_gone_is_not_shown_again_even_if_the_error_may_not_be_stored(  # noqa: PLR0913, PLR0917
    edge: RunningEdge,
    origin: ScriptedOrigin,
    store: redis.Redis,
    photo: bytes,
    shelf: Shelf,
    key: bytes,
    status: int,
    control: str,
) -> None:
    gone = Reply(status=status, headers={"Cache-Control": control}, gate=threading.Event())
    again = Reply(status=status, headers={"Cache-Control": control})
    origin.script("/cat", Reply(photo, headers=WHILE), gone, again)
    edge.get("/image/cat")
    shelf.age(1201)
    with asked_of(edge, "/image/cat") as first:
        assert gone.arrived.wait(LIMIT_S)
        assert gone.gate is not None
        gone.gate.set()
    assert first[0].status_code == status
    assert store.get(key) is None
    assert edge.get("/image/cat").headers["cache-status"] == f"latentedge; fwd=uri-miss; fwd-status={status}"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=404, headers={"Cache-Control": "private, max-age=60"}),
        Reply(status=403),
        Reply(status=429, headers=KEPT),
        Reply(b"<html>log in first</html>"),
    ],
    ids=["private", "403", "429", "a page without a lifetime"],
)
def test_an_error_for_one_client_replaces_nothing(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, reply: Reply
) -> None:
    origin.script("/cat", Reply(photo, headers=BRIEF), reply, Reply(status=304))
    edge.get("/image/cat")
    shelf.age(601)
    encoded = encodes(edge)
    assert edge.get("/image/cat").status_code >= 400
    assert "fwd-status=304" in edge.get("/image/cat").headers["cache-status"]
    assert encodes(edge) == encoded


class TestRaces:
    """What happens between the origin's answer and the write: each ends with the newer one."""

    def test_a_hard_purge_and_a_fill_come_first(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
    ) -> None:
        late = Reply(status=404, gate=threading.Event())
        origin.script("/cat", Reply(photo, headers=BRIEF), late, Reply(photo, headers=BRIEF))
        edge.get("/image/cat")
        shelf.age(601)
        with asked_of(edge, "/image/cat"):
            assert late.arrived.wait(LIMIT_S)
            purge(edge, id="cat")
            assert told(edge.get("/image/cat")) == "latentedge; fwd=uri-miss; stored"
            assert late.gate is not None
            late.gate.set()
        assert told(edge.get("/image/cat")) == "latentedge; hit"

    @pytest.mark.parametrize("order", [{"id": "cat"}, {"tag": "t"}, {"all": True}], ids=str)
    def test_a_soft_purge_makes_the_error_outdated(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf, order: dict[str, object]
    ) -> None:
        said = {**BRIEF, "Cache-Tag": "t"}
        late = Reply(status=404, gate=threading.Event())
        origin.script("/cat", Reply(photo, headers=said), late)
        edge.get("/image/cat")
        shelf.age(601)
        with asked_of(edge, "/image/cat"):
            assert late.arrived.wait(LIMIT_S)
            purge(edge, **order, soft=True)
            origin.script("/cat", Reply(photo, headers=said))
            assert late.gate is not None
            late.gate.set()
        assert edge.get("/image/cat").status_code == 200

    def test_a_better_latent_of_a_search_comes_first(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
    ) -> None:
        late = Reply(status=404, gate=threading.Event())
        origin.script("/cat", Reply(photo, headers=BRIEF), late)
        edge.get("/image/cat")
        shelf.age(601)
        with asked_of(edge, "/image/cat") as first:
            assert late.arrived.wait(LIMIT_S)
            shelf.age(0, refinement=9)
            assert late.gate is not None
            late.gate.set()
        assert first[0].status_code == 404
        assert shelf.record.refinement == 9

    def test_the_requests_that_wait_share_the_error(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
    ) -> None:
        late = Reply(status=404, gate=threading.Event())
        origin.script("/cat", Reply(photo, headers=BRIEF), late)
        edge.get("/image/cat")
        shelf.age(601)
        with asked_of(edge, "/image/cat") as first:
            assert late.arrived.wait(LIMIT_S)
            with asked_of(edge, "/image/cat") as second:
                assert late.gate is not None
                late.gate.set()
        assert [answer.status_code for answer in (*first, *second)] == [404, 404]


class TestVariants:
    def test_the_error_of_one_variant_keeps_the_others(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis
    ) -> None:
        variants = Variants(store, origin)
        gone = Reply(status=404, headers={"Vary": "Accept-Language"})
        origin.script("/cat", in_language("en"), in_language("de"), gone)
        ask(edge, EN), ask(edge, DE)
        variants.age(DE, 601)
        assert ask(edge, DE).status_code == 404
        assert is_remembered(ask(edge, DE), 404)
        assert told(ask(edge, EN)) == "latentedge; hit"

    def test_a_purge_of_the_picture_makes_the_error_of_a_variant_outdated(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis
    ) -> None:
        variants = Variants(store, origin)
        late = Reply(status=404, headers={"Vary": "Accept-Language"}, gate=threading.Event())
        origin.script("/cat", in_language("de"), late, in_language("de"))
        ask(edge, DE)
        variants.age(DE, 601)
        with asked_of(edge, "/image/cat", headers=DE):
            assert late.arrived.wait(LIMIT_S)
            purge(edge, id="cat", soft=True)
            assert late.gate is not None
            late.gate.set()
        assert ask(edge, DE).status_code == 200

    def test_an_error_that_varies_replaces_a_picture_that_does_not(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
    ) -> None:
        gone = Reply(status=404, headers={"Vary": "Accept-Language"})
        origin.script("/cat", Reply(photo, headers=BRIEF), gone, in_language("en"))
        ask(edge, DE)
        shelf.age(601)
        assert ask(edge, DE).status_code == 404
        assert is_remembered(ask(edge, DE), 404)
        assert told(ask(edge, EN)) == "latentedge; fwd=vary-miss; stored"

    def test_an_error_that_varies_by_another_field_replaces_nothing(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis
    ) -> None:
        variants = Variants(store, origin)
        gone = Reply(status=404, headers={"Vary": "DPR"})
        origin.script("/cat", in_language("de"), gone, Reply(status=304))
        ask(edge, DE)
        variants.age(DE, 601)
        assert ask(edge, DE).status_code == 404
        assert "fwd-status=304" in ask(edge, DE).headers["cache-status"]


def test_the_record_of_another_release_stays_where_it_is(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, key: bytes
) -> None:
    said = {"Cache-Control": "no-cache", "ETag": '"v1"'}
    origin.script("/cat", Reply(photo, headers=BRIEF), Reply(photo, headers=said), Reply(status=404))
    edge.get("/image/cat")
    value = store.get(key)
    assert isinstance(value, bytes)
    store.set(key, newer(value), ex=600)
    edge.get("/image/cat")
    assert edge.get("/image/cat").status_code == 404
    assert is_remembered(edge.get("/image/cat"), 404)
    assert store.get(key) == newer(value)


@pytest.mark.parametrize("what", [what for what in UNUSABLE if what != "too many bytes, as announced"])
def test_that_an_untouchable_file_is_no_picture_is_remembered_too(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, what: str
) -> None:
    """RFC 9110 7.7 is about pictures that are transformed, and an error is none."""
    status, reply = UNUSABLE[what]
    usual = reply(photo)
    said = {"Cache-Control": "max-age=600, no-transform"}
    origin.script("/cat", Reply(usual.body, headers=said, announced=usual.announced))
    assert edge.get("/image/cat").status_code == status
    assert is_remembered(edge.get("/image/cat"), status)
