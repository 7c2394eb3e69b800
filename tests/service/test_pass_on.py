"""Response fields for other sites and search engines: passed on from the origin, or set by the edge."""

from dataclasses import replace

import pytest

from service.cache.answer import Answer
from service.errors import BadImageId, DamagedRecord, SettingsError
from service.metrics.outcomes import Outcome
from service.metrics.timings import Timings
from service.records.record import all_fit, pack, unpack
from service.records.renewal import merge
from service.rules.pass_on import CAP_BYTES, USUAL, PassOn, read_pass_on, unpack_lines
from service.rules.response_fields import PassedOn, ResponseFields
from service.settings.edge_settings import read_settings
from service.web import responses
from service.web.own_fields import own_fields
from service.web.responses import PictureResponse
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.shelf import Shelf
from tests.service.test_record import KEY, SAMPLE

OTHERS = {
    "Access-Control-Allow-Origin": "https://app.example",
    "Content-Disposition": 'inline; filename="schö.jpg"',
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Link": '<https://example.com/cat>; rel="canonical"',
    "Timing-Allow-Origin": "*",
    "X-Robots-Tag": "noindex",
}
SAID = {"Cache-Control": "max-age=600", "ETag": '"v1"', "Set-Cookie": "a=b", "X-Secret": "s", **OTHERS}


def shown(headers: object) -> dict[str, str]:
    """Return what the edge sent of all these fields, as the origin's bytes."""
    raw = {name.lower(): value for name, value in headers.raw}  # type: ignore[attr-defined]
    return {name: raw[name.lower().encode()].decode("latin-1") for name in OTHERS if name.lower().encode() in raw}


def test_fields_of_the_origin_reach_clients_of_a_miss_a_hit_a_head_and_a_304(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers=SAID))
    path = "/image/cat?res=medium"
    answers = [edge.get(path), edge.get(path), edge.client.head(path)]
    answers.append(edge.get(path, headers={"If-None-Match": answers[0].headers["etag"]}))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 304]
    assert [shown(answer.headers) for answer in answers] == [OTHERS] * 4
    assert not any({"set-cookie", "x-secret"} & answer.headers.keys() for answer in answers)


def test_a_304_of_the_origin_changes_the_fields_that_it_names(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, shelf: Shelf
) -> None:
    """RFC 9111 3.2, 4.3.4."""
    news = {"Cache-Control": "max-age=600", "X-Robots-Tag": "all"}
    origin.script("/cat", Reply(photo, headers=SAID), Reply(status=304, headers=news))
    edge.get("/image/cat?res=medium")
    shelf.age(601)
    renewed = [edge.get("/image/cat?res=medium") for _ in range(2)]
    assert [shown(answer.headers) for answer in renewed] == [{**OTHERS, "X-Robots-Tag": "all"}] * 2
    assert "fwd-status=304" in renewed[0].headers["cache-status"]


def test_an_error_has_none_of_them(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/none", Reply(b"page", status=404, headers=SAID))
    assert [shown(edge.get("/image/none").headers) for _ in range(2)] == [{}, {}]


def test_a_field_that_is_too_long_keeps_the_picture_out_of_the_store() -> None:
    longest = CAP_BYTES - len("link: ")
    assert all_fit(PassedOn(others=(("link", "x" * longest),)))
    assert not all_fit(PassedOn(others=(("link", "x" * (longest + 1)),)))


def test_a_record_without_them_is_as_before_and_one_with_them_comes_back() -> None:
    record = replace(SAMPLE, passed=replace(SAMPLE.passed, others=(("link", "</a>"), ("x-robots-tag", "\xfc, all"))))
    assert unpack(pack(record, KEY), KEY) == record
    assert len(pack(record, KEY)) == len(pack(SAMPLE, KEY)) + 2 + len("link: </a>\nx-robots-tag: \xfc, all")


@pytest.mark.parametrize(
    "packed", [b"", b"link", b"link: a\r", b"Link: a", b"link: ", b"link: a\n", b"x: " + b"a" * 8192]
)
def test_damaged_fields_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="malformed"):
        unpack_lines(packed)


def test_a_damaged_text_in_a_record_is_damage() -> None:
    record = replace(SAMPLE, passed=replace(SAMPLE.passed, others=(("link", "a\nb"),)))
    with pytest.raises(DamagedRecord, match="passed on"):
        unpack(pack(record, KEY), KEY)


def test_several_lines_become_one_and_what_is_no_value_is_left_out() -> None:
    lines = [(b"LINK", b" <a> "), (b"Link", b"<b>"), (b"X-Robots-Tag", b"a\x01b"), (b"timing-allow-origin", b"")]
    assert USUAL.select(lines) == (("link", "<a>, <b>"),)
    assert PassOn(frozenset()).select(lines) == ()


def test_a_304_adds_to_the_stored_fields() -> None:
    known = replace(SAMPLE, passed=replace(SAMPLE.passed, others=(("link", "<a>"),)))
    said = ResponseFields(asked_s=0, answered_s=0, passed=PassedOn(others=(("x-robots-tag", "all"),)))
    assert merge(known, said).passed.others == (("link", "<a>"), ("x-robots-tag", "all"))


@pytest.mark.parametrize(("text", "told"), [("none", "none"), (" Link , x-a", "link,x-a"), (str(USUAL), str(USUAL))])
def test_the_setting_is_read_and_written(text: str, told: str) -> None:
    assert str(read_pass_on(text)) == told
    assert str(read_pass_on(read_pass_on(text))) == told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("pass_on", value) for value in ("link,", "a b", "Set-Cookie", "content-type", "proxy-status", "etag")),
        *(("pass_on", value) for value in ("surrogate-control", "x-accel-expires", "Cloudflare-CDN-Cache-Control")),
        *(("allow_origin", value) for value in ("example.com", "https://a/b", "https://a, https://b", "**", "a\nb: c")),
        *(("timing_allow_origin", value) for value in ("*, https://a", "https://a,", "x")),
        ("resource_policy", "cross-site"),
    ],
)
def test_a_value_that_browsers_would_not_read_is_refused_at_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"EDGE_{name.upper()}: "):
        read_settings(**{"origin": "http://o", name: value})


def test_the_settings_replace_what_the_origin_says_in_pictures_and_errors() -> None:
    own = own_fields(
        read_settings(
            origin="http://o",
            allow_origin="https://www.example.com:8443",
            timing_allow_origin="https://a, https://b",
            resource_policy="same-site",
        )
    )
    passed = PassedOn(others=(("access-control-allow-origin", "*"), ("link", "<a>")))
    answer = Answer(outcome=Outcome.HIT, media_type="image/png", body=b"x", passed=passed)
    picture = responses.picture(answer, Timings(), negotiated=False, own=own)
    refusal = responses.problem(BadImageId(), negotiated=False, head=False, own=own)
    expected = {
        "access-control-allow-origin": "https://www.example.com:8443",
        "timing-allow-origin": "https://a, https://b",
        "cross-origin-resource-policy": "same-site",
    }
    assert fields_of(picture, expected) == [*expected.items()]
    assert fields_of(refusal, expected) == [*expected.items()]
    assert (b"link", b"<a>") in picture.headers


def fields_of(response: PictureResponse, names: dict[str, str]) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in response.headers if name.decode() in names]
