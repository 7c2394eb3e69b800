"""RFC 9110 5.6.7: valid and invalid dates."""

import pytest

from service.rules.http_date import http_date, parse_http_date

NOW_S = 1_795_000_000.0  # in November 2026
NOON_S = 784_111_777


@pytest.mark.parametrize(
    "field",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " Sun, 06 Nov 1994 08:49:37 GMT ",
        "SUN, 06 nov 1994 08:49:37 gmt",
    ],
)
def test_the_three_forms_of_a_date(field: str) -> None:
    assert parse_http_date(field, now_s=NOW_S) == NOON_S


@pytest.mark.parametrize(
    "field",
    [
        *("", "0", "-1", "soon", "784111777"),
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "Sun, 30 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun, 06  Nov  1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    ],
)
def test_invalid_dates(field: str) -> None:
    assert parse_http_date(field, now_s=NOW_S) is None


@pytest.mark.parametrize(("year", "whole"), [("26", 2026), ("76", 2076), ("77", 1977), ("00", 2000)])
def test_two_digits_are_never_more_than_fifty_years_ahead(year: str, whole: int) -> None:
    short = parse_http_date(f"Friday, 01-Jan-{year} 00:00:00 GMT", now_s=NOW_S)
    assert short == parse_http_date(f"Fri, 01 Jan {whole} 00:00:00 GMT", now_s=NOW_S)


def test_a_leap_second_belongs_to_the_next_minute() -> None:
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT", now_s=NOW_S) == 1_483_228_800


def test_dates_are_written_in_the_one_form_for_senders() -> None:
    assert http_date(NOON_S) == "Sun, 06 Nov 1994 08:49:37 GMT"
