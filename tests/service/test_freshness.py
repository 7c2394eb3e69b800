"""RFC 9111 at its clauses: one row, one rule."""

from dataclasses import replace

import pytest

from service.reason import Reason
from service.rules.cache_control import LONGEST_S
from service.rules.freshness import FreshnessRules, Storage, may_be_transformed, storage
from service.rules.response_age import age_s, initial_age_s, remaining_s, with_date
from service.rules.response_fields import PassedOn, ResponseFields

DEFAULT_TTL_S = 600
RULES = FreshnessRules(default_ttl_s=DEFAULT_TTL_S)
NOW_S = 784_111_777  # Sun, 06 Nov 1994 08:49:37 GMT
NOW = "Sun, 06 Nov 1994 08:49:37 GMT"
A_MINUTE_AGO = "Sun, 06 Nov 1994 08:48:37 GMT"
IN_A_MINUTE = "Sun, 06 Nov 1994 08:50:37 GMT"
IN_AN_HOUR = "Sun, 06 Nov 1994 09:49:37 GMT"
A_DAY_AGO = "Sat, 05 Nov 1994 08:49:37 GMT"
IN_THE_YEAR_9999 = "Fri, 31 Dec 9999 23:59:59 GMT"


def said(passed: PassedOn, *, age: str = "", delay_s: float = 0.0) -> ResponseFields:
    return ResponseFields(asked_s=NOW_S - delay_s, answered_s=float(NOW_S), passed=passed, age=age)


@pytest.mark.parametrize(
    ("clause", "control", "expected"),
    [
        ("9111 5.2.2.1", "max-age=60", Storage(60)),
        ("9111 5.2.2.10", "max-age=60, s-maxage=5", Storage(5)),
        ("9111 5.2.2.10", "s-maxage=5, max-age=60", Storage(5)),
        ("9111 5.2.2.10", "s-maxage=0, max-age=60", Storage(0, Reason.ALREADY_STALE)),
        ("9111 5.2.2.5", "max-age=60, no-store", Storage(0, Reason.NO_STORE)),
        ("9111 5.2.2.3", "max-age=60, no-store, must-understand", Storage(60)),
        ("9111 5.2.2.3", "max-age=60, must-understand", Storage(60)),
        ("9111 5.2.2.7", "private, max-age=60", Storage(0, Reason.PRIVATE)),
        ("9111 5.2.2.7", 'private="set-cookie", max-age=60', Storage(0, Reason.PRIVATE)),
        ("9111 5.2.2.7", "private, no-store, must-understand", Storage(0, Reason.PRIVATE)),
        ("9111 5.2.2.4", "no-cache", Storage(0, Reason.NO_CACHE)),
        ("9111 5.2.2.6", "max-age=60, no-transform", Storage(0, Reason.NO_TRANSFORM)),
        ("9111 5.2.2.2", "max-age=60, must-revalidate", Storage(60)),
        ("9111 5.2.2.8", "max-age=60, proxy-revalidate", Storage(60)),
        ("8246 2", "max-age=60, immutable", Storage(60)),
        ("9111 4.2.1", "max-age=abc", Storage(0, Reason.ALREADY_STALE)),
        ("9111 4.2.1", "max-age=0", Storage(0, Reason.ALREADY_STALE)),
        ("9111 1.2.2", "max-age=99999999999", Storage(LONGEST_S)),
        ("9111 4.2.2", "", Storage(DEFAULT_TTL_S)),
        ("9111 4.2.2", "public", Storage(DEFAULT_TTL_S)),
    ],
)
def test_cache_control_decides(clause: str, control: str, expected: Storage) -> None:
    assert storage(said(PassedOn(cache_control=control)), RULES) == expected, f"RFC {clause}: {control}"


@pytest.mark.parametrize(
    ("clause", "passed", "expected"),
    [
        ("9111 5.3", PassedOn(expires=IN_AN_HOUR, date=NOW), Storage(3600)),
        ("9111 4.2.1", PassedOn(expires=IN_AN_HOUR, date=A_MINUTE_AGO), Storage(3660)),
        ("9111 4.2.1", PassedOn(expires=IN_AN_HOUR), Storage(3600)),
        ("9111 4.2.1", PassedOn(expires=IN_AN_HOUR, date="foo"), Storage(3600)),
        ("9111 4.2.1", PassedOn(expires=IN_A_MINUTE, date=IN_AN_HOUR), Storage(0, Reason.ALREADY_STALE)),
        ("9111 4.2.1", PassedOn(expires=NOW, date=NOW), Storage(0, Reason.ALREADY_STALE)),
        ("9111 5.3", PassedOn(expires="0", date=NOW), Storage(0, Reason.ALREADY_STALE)),
        ("9111 5.3", PassedOn(expires="soon"), Storage(0, Reason.ALREADY_STALE)),
        ("9111 5.3", PassedOn(expires="0", cache_control="max-age=60"), Storage(60)),
        ("9111 5.3", PassedOn(expires=A_DAY_AGO, cache_control="max-age=60"), Storage(60)),
        ("9111 5.3", PassedOn(expires=IN_AN_HOUR, cache_control="max-age=0"), Storage(0, Reason.ALREADY_STALE)),
        ("9111 5.3", PassedOn(expires=IN_AN_HOUR, cache_control="s-maxage=60"), Storage(60)),
        ("9111 1.2.2", PassedOn(expires=IN_THE_YEAR_9999), Storage(LONGEST_S)),
        ("9213 2.2", PassedOn(cdn_cache_control="max-age=60", cache_control="max-age=1"), Storage(60)),
        ("9213 2.2", PassedOn(cdn_cache_control="max-age=1", cache_control="max-age=60"), Storage(1)),
        ("9213 2.2", PassedOn(cdn_cache_control="max-age=60", cache_control="no-store"), Storage(60)),
        ("9213 2.2", PassedOn(cdn_cache_control="no-store", cache_control="max-age=60"), Storage(0, Reason.NO_STORE)),
        ("9213 2.2", PassedOn(cdn_cache_control="private", cache_control="max-age=60"), Storage(0, Reason.PRIVATE)),
        ("9213 2.2", PassedOn(cdn_cache_control="max-age=0", expires=IN_AN_HOUR), Storage(0, Reason.ALREADY_STALE)),
        ("9213 2.2", PassedOn(cdn_cache_control="foo", expires=IN_AN_HOUR), Storage(DEFAULT_TTL_S)),
        (
            "9213 2.1",
            PassedOn(cdn_cache_control="max-age=60, &", cache_control="no-store"),
            Storage(0, Reason.NO_STORE),
        ),
        ("9213 2.1", PassedOn(cdn_cache_control='max-age="60"', cache_control="max-age=5"), Storage(5)),
        (
            "9110 7.7",
            PassedOn(cdn_cache_control="max-age=60", cache_control="no-transform"),
            Storage(0, Reason.NO_TRANSFORM),
        ),
        ("9110 7.7", PassedOn(cdn_cache_control="max-age=60, no-transform"), Storage(0, Reason.NO_TRANSFORM)),
        ("9111 4.1", PassedOn(vary="Accept"), Storage(DEFAULT_TTL_S)),
        ("9111 4.1", PassedOn(vary="accept-ENCODING ,, Accept"), Storage(DEFAULT_TTL_S)),
        ("9111 4.1", PassedOn(vary="Accept, Cookie"), Storage(0, Reason.VARY)),
        ("9111 4.1", PassedOn(vary="*"), Storage(0, Reason.VARY)),
        ("9111 4.1", PassedOn(vary=", *"), Storage(0, Reason.VARY)),
        ("9111 4.1", PassedOn(vary="Accept, *"), Storage(0, Reason.VARY)),
    ],
)
def test_other_fields_decide(clause: str, passed: PassedOn, expected: Storage) -> None:
    assert storage(said(passed), RULES) == expected, f"RFC {clause}: {passed}"


@pytest.mark.parametrize(
    ("clause", "passed", "expected_s"),
    [
        ("9111 4.2.2", PassedOn(last_modified=A_DAY_AGO, date=NOW), 8640),
        ("9111 4.2.2", PassedOn(last_modified=A_DAY_AGO), 8640),
        ("9111 4.2.2", PassedOn(last_modified=IN_A_MINUTE, date=NOW), DEFAULT_TTL_S),
        ("9111 4.2.2", PassedOn(last_modified="long ago"), DEFAULT_TTL_S),
        ("9111 4.2.2", PassedOn(), DEFAULT_TTL_S),
        ("9111 4.2.2", PassedOn(last_modified=A_DAY_AGO, cache_control="max-age=5"), 5),
        ("9111 4.2.2", PassedOn(last_modified=A_DAY_AGO, expires=IN_A_MINUTE), 60),
        ("9111 4.2.2", PassedOn(last_modified=A_DAY_AGO, expires="0"), 0),
    ],
)
def test_a_heuristic_lifetime(clause: str, passed: PassedOn, expected_s: int) -> None:
    rules = replace(RULES, heuristic_fraction=0.1)
    assert storage(said(passed), rules).lifetime_s == expected_s, f"RFC {clause}"


@pytest.mark.parametrize(
    ("clause", "passed", "draw", "expected_s"),
    [
        ("9111 4.2.2", PassedOn(), 0.0, 600),
        ("9111 4.2.2", PassedOn(), 0.5, 540),
        ("9111 4.2.2", PassedOn(), 1.0, 480),
        ("9111 4.2.2", PassedOn(last_modified=A_DAY_AGO, date=NOW), 0.5, 7776),
        ("9111 5.2.2.1", PassedOn(cache_control="max-age=60"), 1.0, 60),
        ("9111 5.2.2.10", PassedOn(cache_control="s-maxage=60"), 1.0, 60),
        ("9111 5.3", PassedOn(expires=IN_A_MINUTE), 1.0, 60),
        ("9213 2.2", PassedOn(cdn_cache_control="max-age=60"), 1.0, 60),
        ("9213 2.2", PassedOn(cdn_cache_control="public", expires=IN_A_MINUTE), 1.0, 480),
    ],
)
def test_jitter_shortens_only_implicit_lifetimes(clause: str, passed: PassedOn, draw: float, expected_s: int) -> None:
    rules = replace(RULES, heuristic_fraction=0.1, ttl_jitter=0.2)
    assert storage(said(passed), rules, draw=draw).lifetime_s == expected_s, f"RFC {clause}: {passed}"


@pytest.mark.parametrize(("min_s", "max_s", "expected_s"), [(500, 0, 500), (700, 0, 700), (0, 100, 80), (90, 100, 90)])
def test_jitter_stays_within_the_operators_bounds(min_s: int, max_s: int, expected_s: int) -> None:
    rules = replace(RULES, ttl_jitter=0.2, min_ttl_s=min_s, max_ttl_s=max_s)
    assert storage(said(PassedOn()), rules, draw=1.0).lifetime_s == expected_s


def test_without_a_heuristic_fraction_last_modified_does_not_matter() -> None:
    assert storage(said(PassedOn(last_modified=A_DAY_AGO)), RULES).lifetime_s == DEFAULT_TTL_S


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("max-age=5", Storage(60)),
        ("max-age=0", Storage(60)),
        ("max-age=100", Storage(100)),
        ("max-age=9999", Storage(300)),
        ("", Storage(300)),
        ("max-age=5, no-store", Storage(0, Reason.NO_STORE)),
        ("max-age=5, private", Storage(0, Reason.PRIVATE)),
    ],
)
def test_the_operators_bounds_clamp_lifetimes_but_do_not_make_answers_storable(control: str, expected: Storage) -> None:
    bounded = replace(RULES, min_ttl_s=60, max_ttl_s=300)
    assert storage(said(PassedOn(cache_control=control)), bounded) == expected


def test_an_answer_that_was_old_on_arrival_is_not_stored() -> None:
    """RFC 9111 4.2: fresh means that the lifetime is greater than the age."""
    passed = PassedOn(cache_control="max-age=60")
    assert storage(said(passed, age="60"), RULES).obstacle is Reason.ALREADY_STALE
    assert storage(said(passed, age="59"), RULES).obstacle is None
    assert storage(said(PassedOn(expires=IN_A_MINUTE, date=NOW), age="90"), RULES).obstacle is Reason.ALREADY_STALE


@pytest.mark.parametrize(
    ("clause", "status", "control", "expected"),
    [
        ("9110 15.1", 200, "", None),
        ("9110 15.1", 203, "", None),
        ("9110 15.1", 201, "", Reason.STATUS),
        ("9110 15.1", 202, "", Reason.STATUS),
        ("9110 15.1", 299, "", Reason.STATUS),
        ("9111 3", 201, "max-age=60", None),
        ("9111 3", 299, "s-maxage=60", None),
        ("9111 3", 202, "public", None),
        ("9111 3", 201, "no-cache", Reason.STATUS),
        ("9111 5.2.2.3", 203, "max-age=60, no-store, must-understand", None),
        ("9111 5.2.2.3", 299, "max-age=60, must-understand", Reason.NO_STORE),
    ],
)
def test_other_2xx_statuses_are_stored_only_if_the_origin_says_so(
    clause: str, status: int, control: str, expected: Reason | None
) -> None:
    fields = replace(said(PassedOn(cache_control=control)), status=status)
    assert storage(fields, RULES).obstacle is expected, f"RFC {clause}: {status} {control}"


def test_a_default_lifetime_of_0_stores_nothing() -> None:
    assert storage(said(PassedOn()), FreshnessRules(default_ttl_s=0)).obstacle is not None


@pytest.mark.parametrize(
    ("clause", "age", "date", "delay_s", "expected_s"),
    [
        ("9111 4.2.3", "", "", 2.0, 2.0),
        ("9111 5.1", "30", "", 2.0, 32.0),
        ("9111 4.2.3", "", NOW, 0.0, 0.0),
        ("9111 4.2.3", "", A_MINUTE_AGO, 0.0, 60.0),
        ("9111 4.2.3", "100", A_MINUTE_AGO, 0.0, 100.0),
        ("9111 4.2.3", "", IN_AN_HOUR, 0.0, 0.0),
        ("9111 5.1", "-5", "", 0.0, 0.0),
        ("9111 5.1", "abc", "", 0.0, 0.0),
        ("9111 5.1", "7200.0", "", 0.0, 0.0),
        ("9111 5.1", "30, 0", "", 0.0, 30.0),
        ("9111 5.1", "0, 30", "", 0.0, 0.0),
        ("9111 1.2.2", "9" * 30, "", 0.0, float(LONGEST_S)),
    ],
)
def test_initial_age(clause: str, age: str, date: str, delay_s: float, expected_s: float) -> None:
    found_s = initial_age_s(said(PassedOn(date=date), age=age, delay_s=delay_s))
    assert found_s == pytest.approx(expected_s), f"RFC {clause}"


def test_age_plus_remaining_lifetime_is_the_lifetime() -> None:
    """RFC 9111 4.2.3."""
    born_ms = NOW_S * 1000
    assert age_s(born_ms=born_ms, now_s=NOW_S + 12.9) == 12
    assert remaining_s(born_ms=born_ms, lifetime_s=60, now_s=NOW_S + 12.0) == 48
    assert remaining_s(born_ms=born_ms, lifetime_s=60, now_s=NOW_S + 59.9) == 1
    assert remaining_s(born_ms=born_ms, lifetime_s=60, now_s=NOW_S + 60.0) == 0
    assert age_s(born_ms=born_ms, now_s=NOW_S - 100.0) == 0


@pytest.mark.parametrize(("date", "expected"), [(A_DAY_AGO, A_DAY_AGO), ("", NOW), ("foo", NOW)])
def test_an_answer_without_a_valid_date_gets_the_time_of_receipt(date: str, expected: str) -> None:
    """RFC 9110 6.6.1."""
    assert with_date(said(PassedOn(date=date))).passed.date == expected


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        (PassedOn(), True),
        (PassedOn(cache_control="No-Transform"), False),
        (PassedOn(cache_control='x="no-transform"'), True),
        (PassedOn(cdn_cache_control="no-transform"), False),
    ],
)
def test_no_transform(passed: PassedOn, *, expected: bool) -> None:
    """RFC 9110 7.7."""
    assert may_be_transformed(passed) is expected
