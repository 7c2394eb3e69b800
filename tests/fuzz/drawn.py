"""What is drawn at random: fields of clients and origins, near what they look like and far from it."""

from __future__ import annotations

from hypothesis import strategies as st

from service.rules.error_fields import ErrorFields
from service.rules.pass_on import USUAL
from service.rules.response_fields import PassedOn, ResponseFields
from tests.fuzz import past_faults as past
from tests.service.test_linear_parsers import PIECES

NOW_S = 1_800_000_000.0
VISIBLE = st.characters(min_codepoint=32, max_codepoint=255)


def field(*known: str) -> st.SearchStrategy[str]:
    """Draw a field's value: a known one, a mixture of pieces of known ones, or any text."""
    pieces = st.sampled_from([*known, *PIECES])
    near = st.lists(pieces, max_size=6).map("".join)
    return st.one_of(st.sampled_from(known), near, st.text(VISIBLE, max_size=80)).map(as_it_comes)


def as_it_comes(text: str) -> str:
    """Return what a parser of HTTP makes of a value: no control characters in it, no space around it."""
    return "".join(one for one in text if one == "\t" or " " <= one <= "\xff").strip(" \t")


OTHERS = st.lists(
    st.tuples(st.sampled_from(["Link", "link", "X-Robots-Tag", "Set-Cookie"]), field("noindex", "*"))
).map(lambda lines: USUAL.select([(name.encode(), value.encode("latin-1")) for name, value in lines]))
PASSED_ON = st.builds(
    PassedOn,
    cache_control=field(*past.CACHE_CONTROL),
    cdn_cache_control=st.one_of(st.just(""), field(*past.CACHE_CONTROL)),
    expires=st.one_of(st.just(""), field(*past.DATES)),
    date=field(*past.DATES),
    last_modified=field(*past.DATES),
    vary=field("", *past.VARY),
    others=OTHERS,
)
ERROR_FIELDS = st.builds(
    ErrorFields,
    retry_after=field("1", "-1", *past.DATES),
    www_authenticate=field("Basic", 'Bearer realm="x"'),
    allow=st.one_of(st.none(), field("", "GET")),
)


def answers(statuses: st.SearchStrategy[int]) -> st.SearchStrategy[ResponseFields]:
    """Return what origins answer with such a status."""
    return st.builds(
        ResponseFields,
        asked_s=st.just(NOW_S - 1),
        answered_s=st.just(NOW_S),
        status=statuses,
        passed=PASSED_ON,
        age=field("", *past.AGES),
        etag=field("", *past.ENTITY_TAGS),
        tags=st.lists(field(*past.TAGS), max_size=3).map(tuple),
        is_stale=st.booleans(),
        error_fields=ERROR_FIELDS,
    )


REDIRECTS = st.lists(answers(st.sampled_from([301, 302, 303, 307, 308])), max_size=3).map(tuple)
NAMES = st.one_of(
    st.sampled_from(past.CLIENT_FIELDS).map(str.encode),
    st.text(VISIBLE, max_size=20).map(lambda text: text.lower().encode("latin-1", "ignore")),
)
LINES = st.lists(
    st.tuples(
        NAMES, st.one_of(field("", *past.ACCEPTS).map(lambda text: text.encode("latin-1")), st.binary(max_size=20))
    ),
    max_size=12,
)
"""Fields of a request, as an ASGI server hands them over, and worse."""
