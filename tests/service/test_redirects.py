"""A picture behind redirects is no fresher than the redirects (RFC 9110 15.4, RFC 9111 4.2), and varies as they do."""

from dataclasses import replace
from typing import Any

import pytest
import redis

from service.reason import Reason
from service.records.record import unpack
from service.rules.freshness import FreshnessRules, storage
from service.rules.http_date import http_date
from service.rules.redirects import apply_redirects, tag_for_clients, tag_for_target, tag_of_target
from service.rules.response_fields import PassedOn, ResponseFields
from tests.service.running_edge import RunningEdge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys

NOW_S = 1_800_000_000.0
RULES = FreshnessRules(default_ttl_s=3600)
YEAR = "max-age=31536000"
TAGGED = {"Cache-Control": YEAR, "ETag": '"1"'}


def said(status: int, cache_control: str = "", *, age: str = "", **passed: Any) -> ResponseFields:  # noqa: ANN401  (any field of PassedOn)
    fields = PassedOn(cache_control=cache_control, **passed)
    return ResponseFields(asked_s=NOW_S, answered_s=NOW_S, status=status, passed=fields, age=age, etag='"1"')


def behind(answer: ResponseFields, *redirects: ResponseFields) -> ResponseFields:
    return apply_redirects(replace(answer, redirects=redirects), RULES)


@pytest.mark.parametrize(
    ("status", "redirect", "picture", "told"),
    [
        (302, "no-store", YEAR, "no-store, max-age=0"),
        (302, "private", YEAR, "private, max-age=0"),
        (302, "private, max-age=60", YEAR, "private, max-age=60"),
        (302, "max-age=1", f"{YEAR}, immutable", "max-age=1"),
        (302, "no-cache", YEAR, "no-cache, max-age=0"),
        (302, "no-cache, max-age=60", YEAR, "no-cache, max-age=60"),
        (302, "", YEAR, "max-age=0"),
        (303, "", YEAR, "max-age=0"),
        (307, "", YEAR, "max-age=0"),
        (302, "public", YEAR, YEAR),
        (301, "", YEAR, YEAR),
        (308, "", YEAR, YEAR),
        (308, "max-age=60", YEAR, "max-age=60"),
        (301, "must-revalidate", YEAR, "must-revalidate, max-age=31536000"),
        (302, "max-age=600", "max-age=60, public", "max-age=60, public"),
        (302, "max-age=600", "no-store", "no-store, max-age=600"),
        (302, "max-age=600", "private", "private, max-age=600"),
        (302, "max-age=60", "", "max-age=60"),  # the picture would be fresh for an hour
        (302, YEAR, "", ""),  # and that hour is shorter than this
        (302, "max-age=60, s-maxage=600", YEAR, "max-age=60, s-maxage=600"),
        (302, "s-maxage=5", "max-age=60, s-maxage=10", "max-age=60, s-maxage=5"),
        (302, "max-age=60", "max-age=600, stale-while-revalidate=30", "max-age=60, stale-while-revalidate=30"),
        (302, "max-age=60, stale-if-error=5", "max-age=60, stale-if-error=30", "max-age=60, stale-if-error=5"),
        (302, "must-understand, no-store, max-age=60", YEAR, "max-age=60"),
    ],
)
def test_the_stricter_of_both_counts(status: int, redirect: str, picture: str, told: str) -> None:
    assert behind(said(200, picture), said(status, redirect)).passed.cache_control == told


def test_the_strictest_of_a_chain_counts() -> None:
    chain = [said(302, "max-age=60"), said(301), said(307, "max-age=30, private")]
    assert behind(said(200, YEAR), *chain).passed.cache_control == "private, max-age=30"


def test_the_ages_of_redirect_and_picture_are_taken_into_account() -> None:
    """The redirect stays fresh for 10 s, and the picture is 100 s old."""
    fields = behind(said(200, "max-age=600", age="100"), said(302, "max-age=60", age="50"))
    assert fields.passed.cache_control == "max-age=110"
    assert storage(fields, RULES).lifetime_s == 110


@pytest.mark.parametrize("control", ["", "max-age=0"])
def test_a_lifetime_of_0_stays_0(control: str) -> None:
    assert behind(said(200, YEAR, age="100"), said(302, control)).passed.cache_control == "max-age=0"


def test_expires_counts_as_a_lifetime() -> None:
    expires = {"date": http_date(NOW_S), "expires": http_date(NOW_S + 60)}
    assert behind(said(200, YEAR), said(302, **expires)).passed.cache_control == "max-age=60"
    limited = behind(said(200, **expires), said(301, "must-revalidate")).passed
    assert (limited.cache_control, limited.expires) == ("must-revalidate, max-age=60", "")
    assert behind(said(200, **expires), said(301)).passed.expires == expires["expires"]


def test_cdn_cache_control_is_combined_too() -> None:
    for_us = behind(said(200, YEAR), said(302, "no-store", cdn_cache_control="max-age=60")).passed
    assert (for_us.cache_control, for_us.cdn_cache_control) == ("no-store, max-age=0", "max-age=60")
    against_us = behind(said(200, YEAR, cdn_cache_control="max-age=600"), said(302, "max-age=5")).passed
    assert (against_us.cache_control, against_us.cdn_cache_control) == ("max-age=5", "max-age=5")


def test_vary_and_tags_of_redirect_and_picture_are_merged() -> None:
    redirect = replace(said(302, YEAR, vary="Accept-Language, DPR"), tags=("alias", "both"))
    fields = behind(replace(said(200, YEAR, vary="dpr"), tags=("both", "picture")), redirect)
    assert fields.passed.vary == "dpr, accept-language"
    assert fields.tags == ("alias", "both", "picture")
    assert storage(behind(said(200, YEAR), said(302, YEAR, vary="*")), RULES).obstacle is Reason.VARY


def test_a_response_without_redirects_is_unchanged() -> None:
    answer = said(200, "Max-Age=5 , x", last_modified=http_date(NOW_S))
    assert apply_redirects(answer, RULES) is answer


def test_an_entity_tag_belongs_to_one_target() -> None:
    stored = tag_of_target('"1"', "/v1?x=1")
    assert tag_for_target(stored, "/v1?x=1") == '"1"'
    assert tag_for_target(stored, "/v2?x=1") == tag_for_target(stored, "") == tag_for_clients(stored) == ""
    direct = tag_of_target('W/"1"', "")
    assert tag_for_target(direct, "") == tag_for_clients(direct) == 'W/"1"'
    assert tag_for_target(direct, "/v1") == ""
    assert tag_of_target(stored, "") == tag_of_target("", "/v1") == ""


def redirecting(to: str, **headers: str) -> Reply:
    return Reply(
        status=302, headers={"Location": to, **{name.replace("_", "-"): said for name, said in headers.items()}}
    )


@pytest.mark.parametrize("said", ["no-store", "private", ""])
def test_a_redirect_that_changes_its_target_leads_to_the_new_picture(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, said: str
) -> None:
    origin.script("/latest", *[redirecting(to, Cache_Control=said) for to in ("/v1", "/v2")])
    origin.script("/v1", Reply(photo, headers=TAGGED))
    origin.script("/v2", Reply(photo + b"another", headers=TAGGED))
    first, second = (edge.get("/image/latest?res=medium") for _ in range(2))
    assert first.headers["etag"] != second.headers["etag"]
    assert "if-none-match" not in {name.lower() for request in origin.requests for name in request.headers}


def test_an_unchanged_redirect_is_revalidated_at_its_target(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/latest", *[redirecting("/v1")] * 2)
    origin.script("/v1", Reply(photo, headers=TAGGED), Reply(status=304, headers=TAGGED))
    first, second = (edge.get("/image/latest?res=medium") for _ in range(2))
    assert first.headers["etag"] == second.headers["etag"]
    assert second.headers["cache-status"].startswith("latentedge; fwd=stale; fwd-status=304")
    assert [request.headers.get("If-None-Match") for request in origin.requests] == [None, None, None, '"1"']
    assert "last-modified" not in second.headers


def test_a_redirect_that_varies_makes_variants(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    by_language = {"Vary": "Accept-Language", "Cache_Control": "max-age=600"}
    origin.script("/lang", redirecting("/de", **by_language), redirecting("/en", **by_language))
    for name in ("de", "en"):
        origin.script(f"/{name}", Reply(photo + name.encode(), headers=TAGGED))
    tags = {name: edge.get("/image/lang", headers={"Accept-Language": name}).headers["etag"] for name in ("de", "en")}
    assert len(set(tags.values())) == 2
    for name, tag in tags.items():
        again = edge.get("/image/lang", headers={"Accept-Language": name})
        assert (again.headers["etag"], again.headers["cache-status"][:15]) == (tag, "latentedge; hit")


def test_a_picture_is_stored_under_the_tags_of_its_redirect(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/tagged", redirecting("/v1", Cache_Control=YEAR, Cache_Tag="alias"))
    origin.script("/v1", Reply(photo, headers=TAGGED))
    assert edge.get("/image/tagged").status_code == 200
    (key,) = stored_keys(store)
    assert unpack(bytes(store.get(key)), key).tags == ("alias",)  # type: ignore[arg-type]


def test_an_error_behind_a_redirect_is_remembered_no_longer_than_the_redirect(
    edge: RunningEdge, origin: ScriptedOrigin
) -> None:
    origin.script("/gone", *[redirecting("/v1", Cache_Control="no-store")] * 2)
    origin.script("/v1", *[Reply(status=404, headers={"Cache-Control": "max-age=600"})] * 2)
    for _ in range(2):
        answer = edge.get("/image/gone")
        assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store, max-age=0")
