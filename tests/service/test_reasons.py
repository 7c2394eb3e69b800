"""The reasons in `Cache-Status` and in `edge_forwarded_total`, also for errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from service.records.store_keys import record_key
from service.settings.edge_settings import read_settings
from tests.service.purging import purge
from tests.service.releases import newer
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.shelf import Shelf
from tests.service.varying import DE, EN, FR, Variants, ask, in_language

CATS = {"Cache-Control": "max-age=600", "ETag": '"v1"', "Cache-Tag": "cats"}
GONE = Reply(status=410, headers={"Cache-Control": "no-store"})


@pytest.fixture
def edge(edge_that_purges: RunningEdge) -> RunningEdge:
    return edge_that_purges


@contextmanager
def counted(edge: RunningEdge, reason: str, detail: str = "") -> Iterator[None]:
    """Check that the block counts one request for this reason, and none for another."""
    line = f'edge_forwarded_total{{detail="{detail}",reason="{reason}"}}'
    before = edge.metric(line), edge.metric("edge_forwarded_total")
    yield
    assert (edge.metric(line), edge.metric("edge_forwarded_total")) == (before[0] + 1, before[1] + 1)


def errors_say(edge: RunningEdge, said: str, label: str, path: str = "/image/cat") -> None:
    with counted(edge, label):
        answer = edge.get(path)
    assert (answer.status_code, answer.headers["cache-status"]) == (410, f"latentedge; {said}")


def test_an_error_of_a_picture_that_was_never_stored(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/cat", GONE)
    errors_say(edge, "fwd=uri-miss; fwd-status=410", "uri_miss")


def test_an_error_after_a_stale_record(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=CATS), GONE)
    edge.get("/image/cat")
    Shelf(store, origin).age(601)
    errors_say(edge, "fwd=stale; fwd-status=410", "stale")


def test_an_error_of_another_variant(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/cat", in_language("en"), GONE)
    ask(edge, EN)
    with counted(edge, "vary_miss"):
        answer = ask(edge, DE)
    assert answer.headers["cache-status"] == "latentedge; fwd=vary-miss; fwd-status=410"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("newer_record", "fwd=bypass; fwd-status=410; detail=newer-record"),
        ("damaged_record", "fwd=uri-miss; fwd-status=410; detail=damaged-record"),
    ],
)
def test_an_error_after_a_record_that_cannot_be_used(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, *, reason: str, said: str
) -> None:
    origin.script("/cat", Reply(photo, headers=CATS), GONE)
    edge.get("/image/cat")
    key = record_key("cat", origin=origin.url)
    value = store.get(key)
    assert isinstance(value, bytes)
    store.set(key, newer(value) if reason == "newer_record" else b"no record", ex=600)
    errors_say(edge, said, reason)


def test_an_error_without_a_store(origin: ScriptedOrigin) -> None:
    origin.script("/cat", GONE)
    with running_edge(read_settings(origin=origin.url, redis_url="unix:///none.sock")) as storeless:
        errors_say(storeless, "fwd=bypass; fwd-status=410; detail=store-unavailable", "store_unavailable")


def test_an_error_without_an_answer_of_the_origin(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    """The edge answers 502 without `fwd-status`, as there is no status (RFC 9211 2.3)."""
    origin.script("/cat", in_language("en"), Reply(photo, missing_bytes=9, headers=CATS))
    ask(edge, EN)
    with counted(edge, "vary_miss"):
        answer = ask(edge, FR)
    assert (answer.status_code, answer.headers["cache-status"]) == (502, "latentedge; fwd=vary-miss")


def test_a_remembered_error_is_a_hit(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/cat", Reply(status=404, headers={"Cache-Control": "max-age=600"}))
    statuses = {name: f'edge_cache_requests_total{{res="high",status="{name}"}}' for name in ("hit", "error")}
    before = {name: edge.metric(line) for name, line in statuses.items()}
    first = edge.get("/image/cat")
    forwarded = edge.metric("edge_forwarded_total")
    second = edge.get("/image/cat")
    assert first.headers["cache-status"] == "latentedge; fwd=uri-miss; fwd-status=404"
    assert second.headers["cache-status"].startswith("latentedge; hit; ttl=")
    assert {name: edge.metric(line) - before[name] for name, line in statuses.items()} == {"hit": 1, "error": 1}
    assert edge.metric("edge_forwarded_total") == forwarded


@pytest.mark.parametrize("order", [{"tag": "cats"}, {"all": True}])
def test_a_record_that_was_purged(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
) -> None:
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
    edge.get("/image/cat")
    purge(edge, **order)
    with counted(edge, "purged"):
        answer = edge.get("/image/cat")
    # The picture ages while it is encoded.
    assert re.fullmatch(
        r"latentedge; fwd=uri-miss; stored; ttl=(600|5\d\d); detail=purged", answer.headers["cache-status"]
    )


def test_a_404_of_a_purged_picture_is_cached(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    """An error is stored only under an empty key, so the purged record is removed first."""
    origin.script("/cat", Reply(photo, headers=CATS), Reply(status=404, headers={"Cache-Control": "max-age=600"}))
    edge.get("/image/cat")
    purge(edge, tag="cats")
    first, second = edge.get("/image/cat"), edge.get("/image/cat")
    assert first.headers["cache-status"] == "latentedge; fwd=uri-miss; fwd-status=404; detail=purged"
    assert second.headers["cache-status"].startswith("latentedge; hit; ttl=")


def test_a_purged_variant(edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis) -> None:
    origin.script("/cat", in_language("en"), in_language("de"), in_language("en"))
    for asked in (EN, DE):
        ask(edge, asked)
    purge(edge, tag="cats")
    assert ask(edge, EN).headers["cache-status"].endswith("detail=purged")
    assert Variants(store, origin).record(EN).origin_etag == '"en"'


def test_an_answer_that_may_not_be_stored_is_counted_with_both_reasons(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "no-store"}))
    with counted(edge, "uri_miss", "no_store"):
        edge.get("/image/cat")
