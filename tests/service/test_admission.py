"""EDGE_ADMISSION_S: a picture is encoded at its second request."""

from collections.abc import Iterator

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from service.cache import admission
from service.cache.admission import Admission
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys
from tests.service.tiers import LATENT, SAID, a_latent, aged, change, child_of, encodes, own_store, record_of, told

WINDOW_S = 100.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 60)), max_size=40),
    st.floats(0, WINDOW_S),
)
def test_a_second_request_within_the_window_is_always_admitted(others: list[tuple[str, float]], apart_s: float) -> None:
    clock = Clock()
    remembered = Admission(WINDOW_S, clock=clock)
    for image_id, pause_s in others:
        remembered.note(image_id.encode())
        clock.now_s += pause_s
    remembered.note(b"this")
    clock.now_s += apart_s
    remembered.note(b"this")
    assert remembered.admits(b"this")


@pytest.mark.parametrize(("apart_s", "admitted"), [(0, True), (100, True), (200, False), (10_000, False)])
def test_a_request_before_the_window_is_forgotten(apart_s: float, *, admitted: bool) -> None:
    clock = Clock()
    remembered = Admission(WINDOW_S, clock=clock)
    remembered.note(b"this")
    clock.now_s += apart_s
    remembered.note(b"this")
    assert remembered.admits(b"this") is admitted


def test_a_first_request_is_seldom_mistaken_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked at the largest number of pictures in a sketch, where its error is largest."""
    monkeypatch.setattr(admission, "CELLS", 2**14)
    monkeypatch.setattr(admission, "TURN_AFTER", 2**11)  # as many to a cell
    remembered = Admission(WINDOW_S, clock=Clock())
    wrong = 0
    for number in range(8 * 2**11):
        remembered.note(b"picture %d" % number)
        wrong += remembered.admits(b"picture %d" % number)
    assert 0 < wrong < 8 * 2**11 * 0.1


def test_without_a_window_every_picture_is_admitted() -> None:
    assert Admission(0, clock=Clock()).admits(b"this")


@pytest.fixture(scope="module")
def _choosy(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    url = own_store(session_valkey, 6)
    with running_edge(
        read_settings(origin=_session_origin.url, redis_url=url, admission_s=600, latent_token=LATENT_TOKEN)
    ) as edge:
        yield edge


@pytest.fixture
def choosy(_choosy: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    own_store(session_valkey, 6)
    return _choosy


def test_the_second_request_is_encoded(choosy: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/a/cat", *[Reply(photo, headers=SAID)] * 2)
    encoded, before = encodes(choosy), choosy.metric('edge_encodes_skipped_total{reason="not_admitted"}')
    first = choosy.get("/image/a/cat")
    assert first.headers["cache-status"] == "latentedge; fwd=uri-miss; detail=not-admitted"
    assert first.headers["etag"].startswith('W/"s-')
    assert first.headers["cache-control"] == "max-age=600"
    assert encodes(choosy) == encoded
    assert told(choosy.get("/image/a/cat")) == "latentedge; fwd=uri-miss; stored"
    assert told(choosy.get("/image/a/cat")) == "latentedge; hit"
    assert encodes(choosy) == encoded + 1
    assert choosy.metric('edge_encodes_skipped_total{reason="not_admitted"}') == before + 1


def test_a_latent_needs_no_encode_and_is_stored_at_once(choosy: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/b/cat", Reply(a_latent(), headers=LATENT))
    assert told(choosy.get("/image/b/cat")) == "latentedge; fwd=uri-miss; stored"


def test_a_stored_picture_stays_admitted(
    choosy: RunningEdge, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    """A stored picture that has changed was requested before, possibly before this process started."""
    origin.script("/c/cat", Reply(a_latent(), headers=LATENT), Reply(photo, headers=SAID))
    edge.get("/image/c/cat")
    (key,) = stored_keys(store)
    store.copy(key.decode(), key.decode(), destination_db="6")
    change(choosy, "c/cat", generation=2**62)  # no store has purged it
    aged(choosy, "c/cat", 601)
    assert told(choosy.get("/image/c/cat")) == "latentedge; fwd=stale; fwd-status=200; stored"
    assert record_of(choosy, "c/cat").source_bytes == len(photo)


def test_a_parent_passes_the_first_request_on_without_an_encode(
    choosy: RunningEdge, origin: ScriptedOrigin, photo: bytes, session_valkey: EmbeddedValkey
) -> None:
    """Neither tier encodes a picture at its first request, and one of them does so at its second."""
    origin.script("/d/cat", *[Reply(photo, headers=SAID)] * 2)
    encoded = encodes(choosy)
    with child_of(choosy.url, session_valkey, store=7, origin=origin.url, admission_s=600) as child:
        assert told(child.get("/image/d/cat")) == "latentedge; fwd=uri-miss; detail=not-admitted"
        assert encodes(choosy) == encoded
        assert told(child.get("/image/d/cat")) == "latentedge; fwd=uri-miss; stored"
        assert encodes(choosy) == encoded + 1
        assert encodes(child) == 0
