"""The premises and the verdicts of the public HTTP cache tests about Vary, as stories of our own under their names.

https://github.com/http-tests/cache-tests, suites `vary` and `vary-parse`. One of their tests is missing here:
`vary-normalise-lang-select` wants the cache to choose among stored variants by their Content-Language, which is the
origin's to do.
"""

import time
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import pytest

from service.rules.http_date import http_date
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.tiers import told
from tests.service.varying import picture

Lines = list[tuple[str, str]]

ONE: Lines = [("Foo", "1")]
TWO: Lines = [("Foo", "1"), ("Bar", "abc")]
THREE: Lines = [("Foo", "1"), ("Bar", "abc"), ("Baz", "789")]
STAR: Lines = [("Foo", "1"), ("Baz", "789")]


@pytest.fixture
def edge(edge_of_either_miss: RunningEdge) -> RunningEdge:
    """An edge with each value of EDGE_MISS."""
    return edge_of_either_miss


def answered(language: str, *vary: str) -> Reply:
    """Return a reply in this language, with one Vary line for each of `vary`."""
    now_s = time.time()
    dates = {"Expires": http_date(now_s + 5000), "Last-Modified": http_date(now_s - 3000), "Date": http_date(now_s)}
    lines = dict(zip(("Vary", "vary"), vary, strict=False))
    return Reply(picture(language), headers={**dates, **lines})


def is_of(edge: RunningEdge, lines: Lines, answer: httpx.Response) -> bool:
    """Whether a request selects the picture of an answer: it may have another tag by now, and the old one is good."""
    return ask(edge, [*lines, ("If-None-Match", answer.headers["etag"])]).status_code == 304


def ask(edge: RunningEdge, lines: Lines) -> httpx.Response:
    """Send a request whose field values keep all their spaces."""
    address = urlsplit(edge.url)
    with closing(HTTPConnection(address.hostname or "", address.port)) as connection:
        connection.putrequest("GET", "/image/cat")
        for name, value in lines:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())


@pytest.mark.parametrize(
    ("name", "vary", "first", "second"),
    [
        ("vary-match", "Foo", ONE, ONE),
        ("vary-cache-key", "Foo", [*ONE, ("Other", "2")], [*ONE, ("Other", "3")]),
        ("vary-2-match", "Foo, Bar", TWO, TWO),
        ("vary-3-match", "Foo, Bar, Baz", THREE, THREE),
        ("vary-3-omit", "Foo, Bar, Baz", [("Foo", "1"), ("Baz", "789")], [("Foo", "1"), ("Baz", "789")]),
        ("vary-normalise-space", "Foo", [("Foo", "1,2")], [("Foo", " 1, 2 ")]),
        ("vary-normalise-combine", "Foo", [("Foo", "1, 2")], [("Foo", "1"), ("Foo", "2")]),
        (
            "vary-normalise-lang-case",
            "Accept-Language",
            [("Accept-Language", "en, de")],
            [("Accept-Language", "eN, De")],
        ),
        (
            "vary-normalise-lang-order",
            "Accept-Language",
            [("Accept-Language", "en, de")],
            [("Accept-Language", "de, en")],
        ),
        (
            "vary-normalise-lang-space",
            "Accept-Language",
            [("Accept-Language", "en, de")],
            [("Accept-Language", " en ,   de")],
        ),
    ],
)
def test_a_matching_variant_is_reused(
    edge: RunningEdge, origin: ScriptedOrigin, name: str, vary: str, first: Lines, second: Lines
) -> None:
    origin.script("/cat", answered("en", vary))
    filled, again = ask(edge, first), ask(edge, second)
    assert told(again) == "latentedge; hit", name
    assert is_of(edge, second, filled)


@pytest.mark.parametrize(
    ("name", "vary", "first", "second"),
    [
        ("vary-no-match", ["Foo"], ONE, [("Foo", "2")]),
        ("vary-omit", ["Foo"], ONE, []),
        ("vary-2-no-match", ["Foo, Bar"], TWO, [("Foo", "2"), ("Bar", "abc")]),
        ("vary-2-match-omit", ["Foo, Bar"], ONE, []),
        ("vary-3-no-match", ["Foo, Bar, Baz"], THREE, [("Foo", "2"), ("Bar", "abc"), ("Baz", "789")]),
        ("vary-3-order", ["Foo, Bar, Baz"], [("Foo", "1"), ("Bar", "abc4"), ("Baz", "789")], THREE),
        ("vary-star", ["*"], STAR, [("*", "1"), ("Baz", "789")]),
        ("vary-syntax-star", ["*"], STAR, STAR),
        ("vary-syntax-star-star", ["*, *"], STAR, STAR),
        ("vary-syntax-star-star-lines", ["*", "*"], STAR, STAR),
        ("vary-syntax-empty-star", [", *"], STAR, STAR),
        ("vary-syntax-empty-star-lines", ["", "*"], STAR, STAR),
        ("vary-syntax-star-foo", ["*, Foo"], STAR, STAR),
        ("vary-syntax-foo-star", ["Foo, *"], STAR, STAR),
    ],
)
def test_another_variant_is_not_reused(
    edge: RunningEdge, origin: ScriptedOrigin, name: str, vary: list[str], first: Lines, second: Lines
) -> None:
    origin.script("/cat", answered("en", *vary), answered("de", *vary))
    filled, another = ask(edge, first), ask(edge, second)
    assert "fwd=" in told(another), name
    assert another.headers["etag"] != filled.headers["etag"]


def test_a_second_variant_does_not_replace_the_first(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    """The first variant is still a hit after the second one was stored."""
    origin.script("/cat", answered("en", "Foo"), answered("de", "Foo"))
    filled, other, again = (ask(edge, [("Foo", value)]) for value in ("1", "2", "1"))
    assert told(again) == "latentedge; hit"
    assert filled.headers["etag"] != other.headers["etag"]
    assert is_of(edge, [("Foo", "1")], filled)
    assert is_of(edge, [("Foo", "2")], other)
    assert not is_of(edge, [("Foo", "1")], other)
