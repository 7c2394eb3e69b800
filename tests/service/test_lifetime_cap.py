"""The lifetime that caches downstream get, shortened."""

import pytest

from service.rules.lifetime_cap import cap_lifetime
from service.rules.response_fields import PassedOn

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
LATER = "Tue, 14 Nov 2023 22:15:00 GMT"
NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("control", "expires", "expected"),
    [
        ("max-age=600", "", "max-age=70"),
        ("public, max-age=600, s-maxage=900", "", "public, max-age=70, s-maxage=70"),
        ("max-age=5, s-maxage=900", "", "max-age=5, s-maxage=70"),
        ("", "", "max-age=70"),
        ("", LATER, "max-age=70"),
        ("", "0", "max-age=0"),
        ("max-age=600", LATER, "max-age=70"),
        ("no-cache", "", "no-cache, max-age=70"),
        ("max-age=600, stale-while-revalidate=60, stale-if-error=60, immutable", "", "max-age=70"),
        ("max-age=600, must-revalidate", "", "must-revalidate, max-age=70"),
    ],
)
def test_the_shorter_lifetime_is_sent(control: str, expires: str, expected: str) -> None:
    """RFC 9111 4.2.1 and 5.3."""
    passed = PassedOn(cache_control=control, expires=expires, date=DATE, last_modified=DATE, vary="Accept-Language")
    capped = cap_lifetime(passed, until_s=70, now_s=NOW_S)
    assert capped == PassedOn(cache_control=expected, date=DATE, vary="Accept-Language")


@pytest.mark.parametrize(
    ("control", "expected"),
    [("max-age=600", "max-age=70"), ("max-age=5", "max-age=5"), ("must-revalidate", "must-revalidate, max-age=70")],
)
def test_the_fields_for_cdns_are_capped_too(control: str, expected: str) -> None:
    """RFC 9213."""
    passed = PassedOn(cache_control="max-age=600", cdn_cache_control=control, date=DATE)
    assert cap_lifetime(passed, until_s=70, now_s=NOW_S).cdn_cache_control == expected
