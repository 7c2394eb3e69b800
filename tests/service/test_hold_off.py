"""The back-off after a failed revalidation: meanwhile requests get the stale picture without waiting for the origin."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from service.cache import hold_off
from service.cache.hold_off import HoldOff
from service.records.staleness import Use, use_of
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.shelf import Shelf
from tests.service.test_record import SAMPLE
from tests.service.test_revalidation import told

BRIEF = {"Cache-Control": "max-age=600", "ETag": '"v1"'}


@pytest.fixture(scope="module")
def patient_edge(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    """An edge whose back-off lasts longer than any test."""
    settings = read_settings(
        origin=_session_origin.url, redis_url=session_valkey.url, hold_off_s=3600, admin_token="token"
    )
    with running_edge(settings) as edge:
        yield edge


@pytest.fixture(autouse=True)
def _empty(store: redis.Redis) -> None:
    store.flushall()


def test_a_failing_origin_is_asked_once(
    patient_edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    origin.script("/once", Reply(photo, headers=BRIEF), Reply(status=503))
    first = patient_edge.get("/image/once?res=medium")
    Shelf(store, origin, "once").age(700)
    assert told(patient_edge.get("/image/once?res=medium")) == "latentedge; fwd=stale; fwd-status=503"
    for _ in range(5):
        answer = patient_edge.get("/image/once?res=medium")
        assert answer.content == first.content
        assert answer.headers["cache-status"].startswith("latentedge; hit; ttl=-1")
        assert answer.headers["cache-status"].endswith("; detail=stale-if-error")
        assert int(answer.headers["age"]) >= 700


def test_each_picture_has_its_own_back_off(
    patient_edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    origin.script("/bad", Reply(photo, headers=BRIEF), Reply(status=503))
    origin.script("/good", Reply(photo, headers=BRIEF), Reply(status=304, headers=BRIEF))
    for image_id in ("bad", "good"):
        patient_edge.get(f"/image/{image_id}")
        Shelf(store, origin, image_id).age(601)
    assert told(patient_edge.get("/image/bad")) == "latentedge; fwd=stale; fwd-status=503"
    assert told(patient_edge.get("/image/good")) == "latentedge; fwd=stale; fwd-status=304; stored"
    assert told(patient_edge.get("/image/good")) == "latentedge; hit"


def test_without_stale_if_error_each_request_asks_the_origin(
    patient_edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    said = {"Cache-Control": "max-age=600, must-revalidate", "ETag": '"v1"'}
    origin.script("/strict", Reply(photo, headers=said), *[Reply(status=503)] * 2, Reply(status=304))
    patient_edge.get("/image/strict")
    Shelf(store, origin, "strict").age(601)
    assert [patient_edge.get("/image/strict").status_code for _ in range(3)] == [503, 503, 200]


def test_a_failed_background_validation_starts_the_back_off(
    patient_edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    said = {"Cache-Control": "max-age=600, stale-while-revalidate=90, stale-if-error=0"}
    origin.script("/shown", Reply(photo, headers=said), Reply(status=503))
    patient_edge.get("/image/shown")
    Shelf(store, origin, "shown").age(610)
    before = patient_edge.metric("edge_origin_requests_total")
    first = patient_edge.get("/image/shown")
    assert first.headers["cache-status"].endswith("; detail=stale-while-revalidate")
    deadline = time.monotonic() + 60
    while patient_edge.metric("edge_origin_requests_total") == before:
        assert time.monotonic() < deadline, "never validated"
    for _ in range(5):
        answer = patient_edge.get("/image/shown")
        assert answer.content == first.content
        assert answer.headers["cache-status"].endswith("; detail=stale-if-error")


def test_a_purge_clears_the_back_off(
    patient_edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    origin.script("/again", Reply(photo, headers=BRIEF), Reply(status=503), Reply(status=304, headers=BRIEF))
    patient_edge.get("/image/again")
    Shelf(store, origin, "again").age(601)
    assert told(patient_edge.get("/image/again")) == "latentedge; fwd=stale; fwd-status=503"
    order = {"id": "again", "soft": True}
    bearer = {"Authorization": "Bearer token"}
    assert patient_edge.client.post("/purge", json=order, headers=bearer).status_code == 200
    assert told(patient_edge.get("/image/again")) == "latentedge; fwd=stale; fwd-status=304; stored"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_back_off_ends_after_its_time() -> None:
    clock = Clock()
    holds = HoldOff(10, clock=clock)
    assert not holds.holds("cat")
    holds.begin("cat")
    clock.now_s = 9.9
    assert holds.holds("cat")
    clock.now_s = 10
    assert not holds.holds("cat")
    holds.begin("cat")
    holds.end("cat")  # purged
    assert not holds.holds("cat")
    off = HoldOff(0, clock=clock)
    off.begin("cat")
    assert not off.holds("cat")


def test_the_number_of_back_offs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold_off, "PICTURES", 2)
    holds = HoldOff(10, clock=Clock())
    for image_id in ("first", "second", "first", "third"):
        holds.begin(image_id)
    assert [holds.holds(image_id) for image_id in ("first", "second", "third")] == [True, False, True]


@pytest.mark.parametrize(
    ("age_s", "use"),
    [
        (99, Use.FRESH),
        (100, Use.INSTEAD_OF_ERROR),
        (119, Use.INSTEAD_OF_ERROR),
        (120, Use.AFTER_VALIDATION),
    ],
)
def test_the_use_of_a_record_during_the_back_off(age_s: int, use: Use) -> None:
    record = replace(SAMPLE, born_ms=0, lifetime_s=100, stale_while_revalidate_s=10, stale_if_error_s=20)
    assert use_of(record, now_s=age_s, held_off=True) is use
