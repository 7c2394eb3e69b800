"""RFC 9111 at its clauses: one row, one rule."""

import pytest

from service.cache.freshness import (
    LONGEST_S,
    CacheControl,
    Storage,
    age_s,
    initial_age_s,
    parse_cache_control,
    parse_http_date,
    remaining_s,
    storage,
)

DEFAULT_TTL_S = 600


@pytest.mark.parametrize(
    ("clause", "field", "expected"),
    [
        ("9111 5.2.2.1", "max-age=60", Storage(60)),
        ("9111 5.2.2.10", "max-age=60, s-maxage=5", Storage(5)),
        ("9111 5.2.2.10", "s-maxage=5, max-age=60", Storage(5)),
        ("9111 5.2.2.10", "s-maxage=0, max-age=60", Storage(0, "already-stale")),
        ("9111 5.2.2.5", "max-age=60, no-store", Storage(0, "no-store")),
        ("9111 5.2.2.7", "private, max-age=60", Storage(0, "private")),
        ("9111 5.2.2.7", 'private="set-cookie", max-age=60', Storage(0, "private")),
        ("9111 5.2.2.4", "no-cache", Storage(0, "no-cache")),
        ("9111 5.2", "MAX-AGE=60", Storage(60)),
        ("9111 5.2", 'max-age="60"', Storage(60)),
        ("9111 5.2.3", "immutable, max-age=60, x-future=7", Storage(60)),
        ("9111 5.2.3", 'x-quoted="no-store, private", max-age=60', Storage(60)),
        ("9111 4.2.1", "max-age=60, max-age=10", Storage(60)),
        ("9111 4.2.1", "max-age=abc", Storage(0, "already-stale")),
        ("9111 4.2.1", "max-age=", Storage(0, "already-stale")),
        ("9111 4.2.1", "max-age", Storage(0, "already-stale")),
        ("9111 4.2.1", "max-age=-1", Storage(0, "already-stale")),
        ("9111 4.2.1", "max-age=1.5", Storage(0, "already-stale")),
        ("9111 1.2.2", "max-age=99999999999999999999999999", Storage(LONGEST_S)),
        ("9111 4.2.2", "", Storage(DEFAULT_TTL_S)),
        ("9111 4.2.2", "public", Storage(DEFAULT_TTL_S)),
    ],
)
def test_storage(clause: str, field: str, expected: Storage) -> None:
    found = storage(parse_cache_control(field), initial_age_s=0, default_ttl_s=DEFAULT_TTL_S)
    assert found == expected, f"RFC {clause}: {field}"


def test_an_answer_that_was_old_on_arrival_is_not_stored() -> None:
    """RFC 9111 4.2: fresh means that the lifetime is greater than the age."""
    assert storage(CacheControl(max_age_s=60), initial_age_s=60, default_ttl_s=0).obstacle == "already-stale"
    assert storage(CacheControl(max_age_s=60), initial_age_s=59, default_ttl_s=0).obstacle is None


def test_a_default_of_nothing_stores_nothing() -> None:
    assert storage(CacheControl(), initial_age_s=0, default_ttl_s=0).obstacle is not None


NOON_S = 784_111_777  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("clause", "age_field", "date_field", "delay_s", "expected_s"),
    [
        ("9111 4.2.3", "", "", 2.0, 2.0),
        ("9111 5.1", "30", "", 2.0, 32.0),
        ("9111 4.2.3", "", "Sun, 06 Nov 1994 08:49:37 GMT", 0.0, 0.0),
        ("9111 4.2.3", "", "Sun, 06 Nov 1994 08:48:37 GMT", 0.0, 60.0),
        ("9111 4.2.3", "100", "Sun, 06 Nov 1994 08:48:37 GMT", 0.0, 100.0),
        ("9111 4.2.3", "", "Sun, 06 Nov 1994 09:49:37 GMT", 0.0, 0.0),
        ("9111 5.1", "-5", "", 0.0, 0.0),
    ],
)
def test_initial_age(clause: str, age_field: str, date_field: str, delay_s: float, expected_s: float) -> None:
    found_s = initial_age_s(
        age_field=age_field, date_field=date_field, asked_s=NOON_S - delay_s, answered_s=float(NOON_S)
    )
    assert found_s == pytest.approx(expected_s), f"RFC {clause}"


def test_age_and_remaining_lifetime_meet() -> None:
    """RFC 9111 4.2.3."""
    born_ms = NOON_S * 1000
    assert age_s(born_ms=born_ms, now_s=NOON_S + 12.9) == 12
    assert remaining_s(born_ms=born_ms, lifetime_s=60, now_s=NOON_S + 12.0) == 48
    assert remaining_s(born_ms=born_ms, lifetime_s=60, now_s=NOON_S + 60.0) == 0
    assert age_s(born_ms=born_ms, now_s=NOON_S - 100.0) == 0


@pytest.mark.parametrize(
    "field", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_forms_of_a_date(field: str) -> None:
    """RFC 9110 5.6.7."""
    assert parse_http_date(field) == NOON_S


@pytest.mark.parametrize("field", ["", "soon", "0", "Sun, 99 Nov 1994 08:49:37 GMT"])
def test_what_is_no_date(field: str) -> None:
    assert parse_http_date(field) is None
