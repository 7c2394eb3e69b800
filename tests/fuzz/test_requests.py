"""Whatever a client sends: a question or a typed refusal, and nothing for the origin that it may believe."""

import re
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from models.config import HIGH_PX, MEDIUM_PX
from service.errors import EdgeError, RequestError
from service.rendition import MEDIA_TYPES
from service.rules.bearer import bears
from service.rules.conditional import Conditions, Validators
from service.rules.forwarding import Forward
from service.rules.negotiation import LATENT_MEDIA_TYPE
from service.upstream.origin_access import PATH_CHARACTERS
from service.web import responses
from service.web.access_log import Exchange
from service.web.questions import Questions
from service.web.request_id import choose_request_id
from tests.fuzz import past_faults as past
from tests.fuzz.drawn import LINES, NOW_S, field

TOKEN = "between-two-tiers"
QUESTIONS = Questions("latentedge-00000000", Forward(), SecretStr(TOKEN))
Lines = list[tuple[bytes, bytes]]
IDS = st.one_of(st.sampled_from(past.IMAGE_IDS), st.text(max_size=40))
ROUTES = st.sampled_from(["/image/", "/latent/"])


def scope(path: str, lines: Lines, *, query: bytes = b"") -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": lines}


def check(asking: dict[str, Any]) -> None:
    exchange = Exchange(asking, choose_request_id(asking["headers"]))
    try:
        asked = QUESTIONS.read(asking, exchange.facts)
    except RequestError as refused:
        check_problem(refused)
        return
    assert asked == QUESTIONS.read(asking, exchange.facts)
    assert asked.wanted.size_px in {HIGH_PX, MEDIUM_PX}
    assert asked.wanted.media_type in {*MEDIA_TYPES.values(), LATENT_MEDIA_TYPE}
    assert asked.wanted.is_latent <= bears(asking["headers"], TOKEN)
    check_target(asked.wanted.image_id)
    check_forwarded(asked.terms.fields)
    assert asked.terms.passed_by.endswith("latentedge-00000000")
    assert asked.terms.passed_by.isascii()
    assert asked.conditions.is_not_modified(Validators(entity_tag='W/"x"'), now_s=NOW_S) in {True, False}


def check_problem(error: EdgeError) -> None:
    """It can be sent, and tells nothing of the request."""
    answer = responses.problem(error, negotiated=True, head=False)
    h11.Response(status_code=int(answer.status), headers=list(answer.headers))
    assert 400 <= answer.status < 600


def check_target(image_id: str) -> None:
    """It stays below the origin's address, and becomes neither query nor fragment."""
    url = urlsplit(f"http://origin.test/base/{quote(image_id, safe=PATH_CHARACTERS)}")
    assert (url.netloc, url.query, url.fragment) == ("origin.test", "", "")
    assert url.path.startswith("/base/")
    assert not {".", ".."} & set(url.path.split("/"))


def check_forwarded(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """They can be sent, none can be folded into another, and none is a secret or of the connection."""
    h11.Request(method="GET", target="/", headers=[(b"host", b"origin.test"), *fields])
    for name, _ in fields:
        assert re.fullmatch(rb"[a-z0-9-]+", name)
        assert name not in {b"authorization", b"cookie", b"host", b"transfer-encoding", b"content-length", b"range"}
        assert not name.startswith((b"x-forward", b"if-", b"proxy-"))


@pytest.mark.parametrize("image_id", past.IMAGE_IDS)
@pytest.mark.parametrize("route", ["/image/", "/latent/"])
def test_past_ids(route: str, image_id: str) -> None:
    check(scope(route + image_id, [(b"authorization", f"Bearer {TOKEN}".encode())]))


@pytest.mark.parametrize("name", past.CLIENT_FIELDS)
@pytest.mark.parametrize("value", [b"x", b"", b"a,b", b"\xff\x00", *[one.encode("latin-1") for one in past.ACCEPTS]])
def test_past_fields(name: str, value: bytes) -> None:
    check(scope("/image/cat", [(name.encode(), value)]))


@pytest.mark.parametrize("loop", past.LOOPS)
def test_past_loops(loop: str) -> None:
    check(scope("/image/cat", [(b"cdn-loop", loop.encode("latin-1"))]))


@pytest.mark.parametrize("query", past.QUERIES)
def test_past_queries(query: bytes) -> None:
    check(scope("/image/cat", [], query=query))


@given(ROUTES, IDS, st.one_of(st.sampled_from(past.QUERIES), st.binary(max_size=60)), LINES)
def test_any_request(route: str, image_id: str, query: bytes, lines: Lines) -> None:
    check(scope(route + image_id, lines, query=query))


@given(LINES)
def test_nothing_but_the_token_opens_the_latents(lines: Lines) -> None:
    opened = bears(lines, TOKEN)
    with suppress(RequestError):
        QUESTIONS.read(scope("/latent/cat", lines), Exchange(scope("", []), "x").facts)
        assert opened


@given(field(*past.ENTITY_TAGS), field(*past.DATES), field('W/"abc"', *past.ENTITY_TAGS))
def test_any_condition_has_a_verdict(if_none_match: str, since: str, tag: str) -> None:
    current = Validators(entity_tag=tag, last_modified=since, date=since)
    verdict = Conditions(if_none_match, since).is_not_modified(current, now_s=NOW_S)
    assert verdict == Conditions(if_none_match, None).is_not_modified(current, now_s=NOW_S), "RFC 9110 13.1.3"
    opaque = tag.removeprefix("W/").strip('"')
    if verdict and if_none_match.strip() != "*":
        assert f'"{opaque}"' in if_none_match
