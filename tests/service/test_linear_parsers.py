"""Every parser of a field from a client or an origin takes time in proportion to its length.

Steps are lines of Python that are executed: what each of them calls in C looks at a text once (split, strip, find), and
regular expressions, whose steps cannot be counted so, are given texts of bounded length alone.
"""

import re
import string
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import EdgeError
from service.records.latent_facts import read_facts
from service.rules.bearer import bears
from service.rules.cache_control import FIELD_CAP_CHARACTERS, parse_cache_control, parse_cdn_cache_control
from service.rules.cache_control import _elements as elements
from service.rules.cache_tags import read_tags, tags_fit
from service.rules.cdn_loop import add_node
from service.rules.conditional import Conditions, Validators
from service.rules.error_fields import ErrorFields
from service.rules.forwarding import Forward
from service.rules.freshness import FreshnessRules, negative_lifetime_s, storage
from service.rules.http_date import parse_http_date
from service.rules.negotiation import Query, negotiate, read_query
from service.rules.redirects import apply_redirects, tag_for_target, tag_of_target
from service.rules.response_age import initial_age_s
from service.rules.response_fields import PassedOn, ResponseFields
from service.rules.vary import selecting_names, selects_alike
from service.web.request_id import choose_request_id

SIZE = 2**15
GROWTH = 2.5
NOW_S = 1_800_000_000.0
RULES = FreshnessRules(default_ttl_s=60)
FIELDS = tuple((f"x-field-{number}".encode(), b"value") for number in range(64))


def answer(**passed: Any) -> ResponseFields:  # noqa: ANN401  (any field of PassedOn)
    return ResponseFields(asked_s=NOW_S, answered_s=NOW_S, passed=PassedOn(**passed))


def redirected(field: str) -> None:
    hop = answer(cache_control=field, cdn_cache_control=field, expires=field, date=field, vary=field)
    apply_redirects(
        ResponseFields(asked_s=NOW_S, answered_s=NOW_S, status=200, passed=hop.passed, redirects=(hop, hop)), RULES
    )


PARSERS: dict[str, Callable[[str], object]] = {
    "Cache-Control": parse_cache_control,
    "CDN-Cache-Control": parse_cdn_cache_control,
    "freshness": lambda field: storage(answer(cache_control=field, cdn_cache_control=field, vary=field), RULES),
    "freshness of an error": lambda field: negative_lifetime_s(404, answer(cache_control=field, vary=field), RULES),
    "redirects": redirected,
    "Vary": selecting_names,
    "Vary of a stored picture": Forward().covers,
    "Vary of a shared answer": lambda field: selects_alike(field, FIELDS, FIELDS),
    "Accept": lambda field: negotiate(image_id="a", query=Query(), accept=field),
    "query": read_query,
    "If-None-Match": lambda field: Conditions(field).is_not_modified(Validators(entity_tag='W/"x"'), now_s=NOW_S),
    "If-Modified-Since": lambda field: Conditions(None, field).is_not_modified(
        Validators(entity_tag="", last_modified=field), now_s=NOW_S
    ),
    "dates": lambda field: parse_http_date(field, now_s=NOW_S),
    "Age": lambda field: initial_age_s(ResponseFields(asked_s=NOW_S, answered_s=NOW_S, age=field)),
    "CDN-Loop": lambda field: add_node(field, "latentedge-0"),
    "Cache-Tag": lambda field: tags_fit(read_tags(cache_tag=field, surrogate_key="")),
    "Surrogate-Key": lambda field: tags_fit(read_tags(cache_tag="", surrogate_key=field)),
    "ETag": lambda field: tag_for_target(tag_of_target(field, "/to"), "/to"),
    "Location": lambda field: urljoin("http://origin.test/a/b", field),
    "Latentedge-Source": read_facts,
    "X-Request-ID": lambda field: choose_request_id([(b"x-request-id", field.encode("latin-1"))]),
    "WWW-Authenticate": lambda field: ErrorFields(www_authenticate=field).can_be_kept,
    "Connection": lambda field: Forward().select([*FIELDS[:60], (b"connection", field.encode("latin-1"))]),
    "Authorization": lambda field: bears([(b"authorization", field.encode("latin-1"))], "token"),
    "forwarded fields": lambda field: Forward().select([(b"foo", field.encode("latin-1"))]),
}
PIECES = [
    *('"', '"\\', "\\", '\\"', '",', '"a",', ",", " ,", "a,", "a, ", 'a="', "a=1,", "=", ";", "a;", "a;q=1,", "q=0."),
    *("(", "a=(", "()", "0", "9", "max-age=1,", 'max-age="1",', 'max-age="\\', " ", "\t", "../", "./", "/", "?", "&"),
    *("a&", "%", "res=high&", 'W/"a",', "W/", '"a" ', "*", "*,", "image/*,", "image/webp;q=0.5;", "Mon, ", "GMT", ":"),
    *("a:", "\xff", "n#,", "n#=#,", '"n#",', "n# ", "n#&", "text/n#;q=0.#,"),
]


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the lines that are executed in the block."""
    steps = [0]

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:  # noqa: ANN401  (sys.settrace's own)
        steps[0] += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield steps
    finally:
        sys.settrace(before)


def steps_of(parse: Callable[[str], object], field: str) -> int:
    with counted() as steps, suppress(EdgeError, ValueError):
        parse(field)
    return steps[0]


def written(piece: str, length: int) -> str:
    """Return a field of about this length that repeats a piece, with a number of six digits where the piece has `#`."""
    repeats = length // len(piece.replace("#", "000000"))
    return "".join(piece.replace("#", f"{number:06}") for number in range(repeats)) if "#" in piece else piece * repeats


def assert_linear(parse: Callable[[str], object], piece: str, size: int) -> None:
    half, whole = (steps_of(parse, written(piece, length)) for length in (size // 2, size))
    assert whole <= GROWTH * half + 1000, f"{piece!r}: {half} steps for {size // 2} bytes, {whole} for {size}"


@pytest.mark.parametrize("name", PARSERS)
def test_steps_grow_linearly_with_the_length(name: str) -> None:
    """Measured on 64 KiB, and on the longest field that passes the parser's own cap."""
    for piece in PIECES:
        assert_linear(PARSERS[name], piece, 2 * SIZE)
        assert_linear(PARSERS[name], piece, FIELD_CAP_CHARACTERS)


@given(
    st.lists(st.sampled_from([*PIECES, *string.ascii_lowercase]), min_size=1, max_size=6), st.sampled_from([*PARSERS])
)
def test_steps_grow_linearly_for_every_mixture_of_pieces(pieces: list[str], name: str) -> None:
    assert_linear(PARSERS[name], "".join(pieces), 2**12)


# The grammar of RFC 9110 5.6.4 and 5.6.1, which takes quadratic time where quotes are not closed.
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')


@given(st.text(alphabet='",\\a= ', max_size=14))
def test_a_list_is_split_as_the_grammar_says(field: str) -> None:
    assert [one for one in elements(field) if one] == _ELEMENT.findall(field)


def test_a_field_above_the_cap_forbids_storing() -> None:
    control = parse_cache_control("max-age=60, " + "x" * FIELD_CAP_CHARACTERS)
    assert control.no_store
    assert control.no_transform
    assert parse_cdn_cache_control("max-age=60, " + "x" * FIELD_CAP_CHARACTERS) is None
