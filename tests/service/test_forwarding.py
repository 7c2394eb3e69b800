"""The request fields that are forwarded to the origin, and the fields that never are."""

import pytest
from h11._headers import normalize_and_validate
from hypothesis import given
from hypothesis import strategies as st

from service.errors import FieldsTooLarge, SettingsError
from service.rules.forwarding import FIELDS_CAP, FIELDS_CAP_BYTES, Forward, read_forward
from service.rules.vary import NAMES_CAP
from service.settings.edge_settings import read_settings

EVERYTHING = Forward()


@pytest.mark.parametrize(
    ("clause", "name"),
    [
        ("9111 3.5", "authorization"),
        ("6265 4.2", "cookie"),
        ("9110 7.6.1", "connection"),
        ("9110 7.6.1", "te"),
        ("9110 7.6.1", "proxy-authorization"),
        ("9110 7.2", "host"),
        ("9110 8.6", "content-length"),
        ("9110 13.1.2", "if-none-match"),
        ("9110 13.1.5", "if-range"),
        ("9110 14.2", "range"),
        ("9111 5.2.1", "cache-control"),
        ("8586 2", "cdn-loop"),
        ("9110 12.5.1", "accept"),
        ("9110 12.5.3", "accept-encoding"),
    ],
)
def test_withheld_fields_cannot_be_named(clause: str, name: str) -> None:
    assert not EVERYTHING.passes(name), clause
    with pytest.raises(ValueError, match=name):
        read_forward(f"dpr, {name}")


@pytest.mark.parametrize(
    "name",
    [
        *("referer", "from", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "cf-connecting-ip"),
        *("x-api-key", "x-auth-token", "x-csrf-token", "traceparent", "x-request-id", "b3"),
        *("x-original-url", "x-rewrite-url", "x-http-method-override", "upgrade-insecure-requests"),
        *(
            "x-http-host-override",
            "x-forward-host",
            "x-forwarded",
            "x-scheme",
            "x-url-scheme",
            "front-end-https",
            "proxy",
        ),
        *("x-originating-ip", "remote-user", "x-remote-user", "x-token", "private-token", "x-jwt-assertion"),
        *("x-backend", "x-proxy-url", "x-client-verify", "x-ssl-client-s-dn", "x-arr-ssl", "x-azure-socketip"),
        *("x-accel-redirect", "x-sendfile", "x-middleware-subrequest", "x-amz-website-redirect-location"),
        *("x_custom", "x.custom", "foo~", "x-forwarded_host", "x__", "_"),
    ],
)
def test_some_fields_are_forwarded_only_if_named(name: str) -> None:
    assert not EVERYTHING.passes(name)
    assert read_forward(name).passes(name)


@pytest.mark.parametrize(
    "name",
    ["x_forwarded_host", "x_http_method_override", "x-original_url", "remote_user", "transfer_encoding", "cookie_"],
)
def test_names_that_an_origin_may_read_as_others_are_withheld(name: str) -> None:
    """RFC 3875 4.1.18: CGI, WSGI and PHP do not distinguish `_` and `-`."""
    assert EVERYTHING.select([(name.encode(), b"evil"), (b"dpr", b"2")]) == ((b"dpr", b"2"),)
    assert not EVERYTHING.covers(name)


@pytest.mark.parametrize("name", ["transfer_encoding", "content_length", "if_none_match", "cookie2", "proxy_x"])
def test_no_spelling_of_a_withheld_field_can_be_named(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        read_forward(name)


@pytest.mark.parametrize("name", ["accept-language", "user-agent", "dpr", "save-data", "origin", "sec-ch-width", "foo"])
def test_fields_that_origins_choose_by_are_forwarded(name: str) -> None:
    assert EVERYTHING.passes(name)
    assert not read_forward("none").passes(name)


@pytest.mark.parametrize(
    ("clause", "forward", "vary", "covered"),
    [
        ("9111 4.1", "all", "", True),
        ("9111 4.1", "all", "Accept, Accept-Encoding", True),
        ("9111 4.1", "all", "Accept-Language, Foo", True),
        ("9111 4.1", "all", "*", False),
        ("9111 4.1", "all", "Foo, *", False),
        ("9111 4.1", "all", "Foo, Cookie", False),
        ("9111 4.1", "all", "Authorization", False),
        ("9110 5.6.2", "all", "no token", False),
        ("9111 4.1", "none", "Accept", True),
        ("9111 4.1", "none", "Foo", False),
        ("9111 4.1", "foo", "FOO", True),
        ("9111 4.1", "foo", "Foo, Bar", False),
        ("ours", "all", ",".join(f"n{number}" for number in range(NAMES_CAP)), True),
        ("ours", "all", ",".join(f"n{number}" for number in range(NAMES_CAP + 1)), False),
    ],
)
def test_a_picture_is_stored_only_if_all_fields_in_vary_are_forwarded(
    clause: str, forward: str, vary: str, *, covered: bool
) -> None:
    assert read_forward(forward).covers(vary) is covered, clause


@pytest.mark.parametrize("connection", [b"X-Mine, close", b"close,x-mine"])
def test_fields_named_in_connection_are_not_forwarded(connection: bytes) -> None:
    headers = [(b"x-mine", b"1"), (b"x-ours", b"2"), (b"connection", connection)]
    assert EVERYTHING.select(headers) == ((b"x-ours", b"2"),)


@pytest.mark.parametrize("value", [b"a\x00b", b"a\x0bb", b"a\x7fb", b"a\rb"])
def test_fields_with_invalid_values_are_not_forwarded(value: bytes) -> None:
    """RFC 9110 5.5. If h11 refused to send a field, it would look like a failure of the origin."""
    assert EVERYTHING.select([(b"foo", value), (b"bar", b"\xfc\t,")]) == ((b"bar", b"\xfc\t,"),)


@given(st.lists(st.binary(max_size=6), max_size=4))
def test_h11_can_send_every_forwarded_field(values: list[bytes]) -> None:
    """Otherwise a client could make the origin or a parent look as if it were down."""
    fields = EVERYTHING.select([(b"foo", value) for value in values])
    normalize_and_validate(list(fields))


def test_repeated_lines_are_not_joined() -> None:
    assert EVERYTHING.select([(b"foo", b"1"), (b"cookie", b"x"), (b"foo", b"2")]) == ((b"foo", b"1"), (b"foo", b"2"))


@pytest.mark.parametrize(
    "headers",
    [
        [(b"foo", b"x" * (FIELDS_CAP_BYTES - 2))],
        [(b"foo", b"")] * (FIELDS_CAP + 1),
    ],
)
def test_too_many_or_too_long_fields_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(FieldsTooLarge):
        EVERYTHING.select(headers)
    assert read_forward("none").select(headers) == ()
    assert read_forward("bar").select(headers) == ()


def test_withheld_fields_do_not_count_for_the_limit() -> None:
    assert EVERYTHING.select([(b"cookie", b"x" * FIELDS_CAP_BYTES)] * FIELDS_CAP) == ()


@given(
    st.one_of(
        st.just("all"),
        st.just("none"),
        st.lists(st.sampled_from(["dpr", "foo", "x-api-key"]), min_size=1).map(",".join),
    )
)
def test_a_setting_survives_the_environment(text: str) -> None:
    forward = read_forward(text)
    assert read_forward(str(forward)) == forward


@given(st.text(max_size=30))
def test_any_text_is_a_setting_or_a_value_error(text: str) -> None:
    try:
        forward = read_forward(text)
    except ValueError:
        return
    assert not any(forward.passes(name) for name in ("cookie", "authorization", "if-match", "*, *"))


@pytest.mark.parametrize("text", ["all,dpr,", "accept language", "cookie", "dpr,Proxy-Anything"])
def test_an_invalid_setting_is_reported_with_its_name(text: str) -> None:
    with pytest.raises(SettingsError, match="EDGE_FORWARD"):
        read_settings(origin="http://origin.example", forward=text)
