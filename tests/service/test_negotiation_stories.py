"""Requests for different formats of one stored latent: which share a file, and which responses vary."""

import httpx
import pytest
import redis

from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys

FRESH = {"Cache-Control": "max-age=600"}


def test_equivalent_requests_get_the_same_file(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    """The key of a file is the negotiated format, not the fields of the request."""
    origin.script("/cat", Reply(photo, headers=FRESH))
    same = [
        "image/webp",
        "IMAGE/WEBP;Q=1.0",
        "text/html, image/webp;q=0.5",
        "image/jpeg;q=0, */*",
        "image/jpeg;q=0.1, image/*;q=0, image/webp;q=0.2",
        "image/avif,image/webp,image/apng,*/*;q=0.8",
    ]
    answers = [edge.get("/image/cat?res=medium", headers={"Accept": accept}) for accept in same]
    assert {answer.headers["content-type"] for answer in answers} == {"image/webp"}
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert len({answer.content for answer in answers}) == 1
    assert len(stored_keys(store)) == 1
    assert all("hit" in answer.headers["cache-status"] for answer in answers[1:])
    other = edge.get(
        "/image/cat?res=medium", headers={"Accept": "image/*", "If-None-Match": answers[0].headers["etag"]}
    )
    assert (other.status_code, other.headers["content-type"]) == (200, "image/jpeg")


@pytest.mark.parametrize(
    "accept",
    [
        "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5",  # Safari up to 13
        "image/png, image/svg+xml, image/jxr, image/*;q=0.8",  # Outlook
    ],
)
def test_a_client_that_lists_png_first_gets_a_jpeg(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, accept: str
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    answer = edge.get("/image/cat?res=medium", headers={"Accept": accept})
    assert (answer.headers["content-type"], answer.headers["vary"]) == ("image/jpeg", "Accept")
    alone = edge.get("/image/cat?res=medium", headers={"Accept": "image/png"})
    assert alone.headers["content-type"] == "image/png"


def test_unknown_arguments_are_ignored(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    queries = ("", "?x=1", "?x=2&RES=medium", "?fbclid=a&utm_source=b", "?res=high&x=%ff", "?&&=&res=344")
    answers = [edge.get("/image/cat" + query) for query in queries]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert len(stored_keys(store)) == 1
    assert [request.path for request in origin.requests] == ["/cat"]


@pytest.fixture
def answers(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> dict[str, httpx.Response]:
    """Every kind of response to a client that leaves the format to the edge."""
    origin.script("/cat", Reply(photo, headers=FRESH))
    origin.script("/mine", Reply(photo, headers={"Cache-Control": "private"}))
    origin.script("/gone", Reply(status=404))
    origin.script("/broken", Reply(status=500))
    origin.script("/text", Reply(b"no picture"))
    miss = edge.get("/image/cat")
    return {
        "miss": miss,
        "hit": edge.get("/image/cat"),
        "head": edge.client.head("/image/cat"),
        "304": edge.get("/image/cat", headers={"If-None-Match": miss.headers["etag"]}),
        "private": edge.get("/image/mine"),
        "404": edge.get("/image/gone"),
        "500": edge.get("/image/broken"),
        "415": edge.get("/image/text"),
        "400": edge.get("/image/cat?res=huge"),
    }


def test_negotiated_responses_vary_by_accept(answers: dict[str, httpx.Response]) -> None:
    """RFC 9110 12.5.5: a cache downstream must not serve one client's format to another."""
    assert {name: answer.headers.get("vary") for name, answer in answers.items()} == dict.fromkeys(answers, "Accept")


def test_a_response_to_fmt_does_not_vary(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    for accept in ("image/avif", "image/*;q=0"):
        answer = edge.get("/image/cat?fmt=png&res=medium", headers={"Accept": accept})
        assert answer.headers["content-type"] == "image/png"
        assert "vary" not in answer.headers
