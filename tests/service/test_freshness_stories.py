"""What the origin says about its answers, as it reaches the clients of a real edge."""

import time

import pytest
import redis

from service.rules.http_date import http_date
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import emptied, stored_keys

FRESH = {"Cache-Control": "public, max-age=600"}


@pytest.fixture
def edge(edge_of_either_miss: RunningEdge) -> RunningEdge:
    """With both values of EDGE_MISS."""
    return edge_of_either_miss


def test_the_words_of_the_origin_reach_every_client_unchanged(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    now_s = time.time()
    said = {
        "Cache-Control": 'Max-Age="600", x-extension=7',
        "CDN-Cache-Control": "max-age=300;x=1",
        "Expires": "0",
        "Date": http_date(now_s - 20),
        "Last-Modified": "Sunday, 06-Nov-94 08:49:37 GMT",
        "Vary": "Accept-Encoding, accept",
        "Age": "100",
    }
    origin.script("/cat", Reply(photo, headers=said))
    filled, hit = edge.get("/image/cat?res=medium"), edge.get("/image/cat?res=medium")
    assert {name: filled.headers[name] for name in said} == said
    assert 100 <= (age_s := int(hit.headers.pop("age"))) < 160
    assert hit.headers["cache-status"].startswith(f"latentedge; hit; ttl={300 - age_s}")
    del said["Age"]
    assert {name: hit.headers[name] for name in said} == said
    for answer in (filled, hit):
        assert len(answer.headers.get_list("date")) == 1


def test_what_was_negotiated_varies_by_accept_beside_what_the_origin_says(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers={**FRESH, "Vary": "Accept-Encoding"}))
    assert edge.get("/image/cat").headers["vary"] == "Accept-Encoding, Accept"
    assert edge.get("/image/cat?fmt=jpeg").headers["vary"] == "Accept-Encoding"


def test_a_picture_that_may_not_be_transformed_is_passed_on_as_it_is(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    said = {"Cache-Control": "no-transform, max-age=600", "ETag": '"v1"', "Content-Type": "text/html"}
    origin.script("/signed", *[Reply(photo, headers=said)] * 3)
    answer = edge.get("/image/signed?res=medium&fmt=png")
    assert answer.content == photo
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == said["Cache-Control"]
    assert answer.headers["etag"] == said["ETag"]
    assert answer.headers["cache-status"] == "latentedge; fwd=uri-miss; detail=no-transform"
    head = edge.client.head("/image/signed")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(photo)))
    assert edge.get("/image/signed", headers={"If-None-Match": '"v1"'}).status_code == 304
    assert not stored_keys(store)


@pytest.mark.parametrize("vary", ["Cookie", "Authorization", "*", "Accept, Referer"])
def test_what_varies_by_what_never_reaches_the_origin_is_not_stored(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, vary: str
) -> None:
    origin.script("/cat", *[Reply(photo, headers={**FRESH, "Vary": vary})] * 2)
    for _ in range(2):
        answer = edge.get("/image/cat?res=medium")
        assert set(vary.split(", ")) <= set(answer.headers["vary"].split(", "))
        assert answer.headers["cache-status"].endswith("detail=vary")
    assert not stored_keys(store)


def test_what_is_said_to_cdns_counts_before_what_is_said_to_all(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "no-store", "CDN-Cache-Control": "max-age=60"}))
    edge.get("/image/cat")
    hit = edge.get("/image/cat")
    assert "hit" in hit.headers["cache-status"]
    assert hit.headers["cache-control"] == "no-store"


def test_a_cookie_reaches_nobody(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers={**FRESH, "Set-Cookie": "who=me"}))
    for _ in range(2):
        assert "set-cookie" not in edge.get("/image/cat?res=medium").headers


def test_a_header_too_long_for_a_record_is_passed_on_and_not_stored(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    control = "max-age=600, x=" + "y" * 600
    origin.script("/cat", Reply(photo, headers={"Cache-Control": control}))
    assert edge.get("/image/cat?res=medium").headers["cache-control"] == control
    assert not stored_keys(store)


def test_an_error_is_passed_on_with_what_the_origin_says_of_it(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    said = {"Cache-Control": "no-cache", "Expires": "0", "Date": http_date(time.time() - 5), "Age": "3"}
    origin.script("/gone", Reply(status=410, headers=said))
    answer = edge.get("/image/gone")
    assert answer.status_code == 410
    assert {name: answer.headers[name] for name in said} == said


def test_every_answer_has_one_date(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/gone", Reply(status=404))
    paths = ("/livez", "/readyz", "/metrics", "/stats", "/", "/nowhere", "/image/", "/image/gone", "/image/a?res=low")
    for path in paths:
        assert len(edge.get(path).headers.get_list("date")) == 1, path
    assert len(edge.client.post("/livez").headers.get_list("date")) == 1


def test_the_operator_decides_where_the_origin_is_silent_and_how_long_at_most(
    session_valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
) -> None:
    settings = read_settings(
        origin=origin.url,
        redis_url=session_valkey.url,
        default_ttl_s=0,
        min_ttl_s=30,
        max_ttl_s=1000,
        heuristic_fraction=0.1,
    )
    a_day_ago = http_date(time.time() - 86_400)
    origin.script("/bounded/old", Reply(photo, headers={"Last-Modified": a_day_ago}))
    origin.script("/bounded/brief", Reply(photo, headers={"Cache-Control": "max-age=1"}))
    origin.script("/bounded/never", Reply(photo, headers={"Cache-Control": "no-store"}))
    with running_edge(settings) as edge, redis.Redis.from_url(session_valkey.url) as store:
        emptied(store)
        told = [edge.get(f"/image/bounded/{name}").headers["cache-status"] for name in ("old", "brief", "never")]
    lifetimes_s = [int(one.partition("ttl=")[2] or "-1") for one in told]
    assert 990 <= lifetimes_s[0] <= 1000
    assert 20 <= lifetimes_s[1] <= 30
    assert told[2].endswith("detail=no-store")
