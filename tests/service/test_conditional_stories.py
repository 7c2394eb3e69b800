"""Clients that have a copy already: what they are told, and that nothing is decoded for it."""

import time
from collections.abc import Callable

import httpx
import pytest

from service.rules.http_date import http_date
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin

MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"


@pytest.fixture
def edge(edge_of_either_miss: RunningEdge) -> RunningEdge:
    """With both values of EDGE_MISS."""
    return edge_of_either_miss


@pytest.fixture
def said() -> dict[str, str]:
    return {
        "Cache-Control": "max-age=600",
        "CDN-Cache-Control": "max-age=500",
        "Expires": http_date(time.time() + 600),
        "Date": http_date(time.time()),
        "Vary": "Accept-Encoding",
        "Last-Modified": MODIFIED,
    }


@pytest.fixture
def full(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, said: dict[str, str]) -> httpx.Response:
    """The copy that the client has."""
    origin.script("/cat", Reply(photo, headers=said))
    return edge.get("/image/cat?res=medium")


def decodes(edge: RunningEdge) -> float:
    return edge.metric('edge_stage_seconds_count{stage="synthesis"}')


def test_a_304_has_the_fields_that_guide_caches_and_none_of_the_picture(
    edge: RunningEdge, full: httpx.Response, said: dict[str, str]
) -> None:
    """RFC 9110 15.4.5."""
    before = decodes(edge)
    answer = edge.get("/image/cat?res=medium", headers={"If-None-Match": full.headers["etag"]})
    assert answer.status_code == 304
    assert answer.content == b""
    for name in ("cache-control", "cdn-cache-control", "expires", "date", "vary", "etag"):
        assert answer.headers[name] == full.headers[name], name
    assert answer.headers["vary"] == "Accept-Encoding, Accept"
    assert answer.headers["expires"] == said["Expires"]
    assert "age" in answer.headers
    assert not {"last-modified", "content-type", "content-length"} & set(answer.headers)
    assert decodes(edge) == before


# RFC 9110 13.1.2, 8.8.3.2, 13.1.3, 13.2.2; 9111 4.3.2: If-Match and If-Unmodified-Since are for origins.
CONDITIONS: dict[str, tuple[int, Callable[[str], list[tuple[str, str]]]]] = {
    "a list": (304, lambda tag: [("If-None-Match", f'"a,b", {tag}, "c"')]),
    "several lines": (304, lambda tag: [("If-None-Match", '"a"'), ("If-None-Match", tag)]),
    "the tag as a strong one": (304, lambda tag: [("If-None-Match", tag.removeprefix("W/"))]),
    "any": (304, lambda _tag: [("If-None-Match", "*")]),
    "others": (200, lambda _tag: [("If-None-Match", '"a", W/"b"')]),
    "a tag before a date": (200, lambda _tag: [("If-None-Match", '"a"'), ("If-Modified-Since", MODIFIED)]),
    "a tag despite a date": (304, lambda tag: [("If-None-Match", tag), ("If-Modified-Since", BEFORE)]),
    "a date": (304, lambda _tag: [("If-Modified-Since", MODIFIED)]),
    "an earlier date": (200, lambda _tag: [("If-Modified-Since", BEFORE)]),
    "no date": (200, lambda _tag: [("If-Modified-Since", "today")]),
    "two dates": (200, lambda _tag: [("If-Modified-Since", MODIFIED), ("If-Modified-Since", MODIFIED)]),
    "what is for origins": (200, lambda _tag: [("If-Match", '"a"'), ("If-Unmodified-Since", BEFORE)]),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions(edge: RunningEdge, full: httpx.Response, method: str, condition: str) -> None:
    status, fields = CONDITIONS[condition]
    before = decodes(edge)
    answer = edge.client.request(method, "/image/cat?res=medium", headers=fields(full.headers["etag"]))
    assert answer.status_code == status
    if status == 304 or method == "HEAD":
        assert decodes(edge) == before
    elif edge.settings.miss == "latent":
        assert decodes(edge) == before + 1


def test_without_last_modified_the_date_of_the_answer_counts(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    """RFC 9111 4.3.2."""
    made_s = time.time() - 60
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=600", "Date": http_date(made_s)}))
    edge.client.head("/image/cat")
    statuses = [
        edge.client.head("/image/cat", headers={"If-Modified-Since": http_date(made_s + after_s)}).status_code
        for after_s in (-1, 0, 1)
    ]
    assert statuses == [200, 304, 304]


def test_a_first_request_may_be_conditional(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    """The origin knows nothing of our entity tags, so it is asked without conditions."""
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=600"}))
    before = decodes(edge)
    answer = edge.get("/image/cat", headers={"If-None-Match": "*", "If-Modified-Since": MODIFIED})
    assert answer.status_code == 304
    assert not {"if-none-match", "if-modified-since"} & {name.lower() for name in origin.requests[0].headers}
    assert decodes(edge) == before
