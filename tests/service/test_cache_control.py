"""Parsing of directives: one row, one rule."""

import pytest

from service.rules.cache_control import LONGEST_S, CacheControl, parse_cache_control, parse_cdn_cache_control


@pytest.mark.parametrize(
    ("clause", "field", "expected"),
    [
        ("9111 5.2", "", CacheControl()),
        ("9111 5.2", "MaX-aGe=60", CacheControl(max_age_s=60)),
        ("9111 5.2", 'max-age="60"', CacheControl(max_age_s=60)),
        ("9111 5.2", 'max-age="6\\0"', CacheControl(max_age_s=60)),
        ("9111 5.2", "max-age=60 , ,no-store,", CacheControl(max_age_s=60, no_store=True)),
        ("9111 5.2", "No-StOrE", CacheControl(no_store=True)),
        ("9111 5.2.3", 'x-quoted="no-store, private", max-age=60', CacheControl(max_age_s=60)),
        ("9111 5.2.3", 'x="\\"no-store, private", max-age=60', CacheControl(max_age_s=60)),
        ("9111 5.2.3", 'extension="max-age=3600", max-age=1', CacheControl(max_age_s=1)),
        ("9111 5.2.3", "public, immutable, x-future=7", CacheControl(public=True)),
        ("9111 5.2.2.4", 'no-cache="a, b"', CacheControl(no_cache=True)),
        ("9111 5.2.2.7", 'private="set-cookie"', CacheControl(private=True)),
        ("9111 5.2.2.6", "no-transform", CacheControl(no_transform=True)),
        (
            "9111 5.2.2",
            "must-revalidate, proxy-revalidate, must-understand",
            CacheControl(must_revalidate=True, proxy_revalidate=True, must_understand=True),
        ),
        (
            "5861 3",
            "stale-while-revalidate=5, stale-if-error=6",
            CacheControl(stale_while_revalidate_s=5, stale_if_error_s=6),
        ),
        ("9111 4.2.1", "max-age=60, max-age=10", CacheControl(max_age_s=60)),
        ("9111 4.2.1", "max-age=10, max-age=60", CacheControl(max_age_s=10)),
        ("9111 4.2.1", "max-age=abc", CacheControl(max_age_s=0)),
        ("9111 4.2.1", "max-age=60a", CacheControl(max_age_s=0)),
        ("9111 4.2.1", "max-age='60'", CacheControl(max_age_s=0)),
        ("9111 4.2.1", "max-age=", CacheControl(max_age_s=0)),
        ("9111 4.2.1", "max-age", CacheControl(max_age_s=0)),
        ("9111 4.2.1", "max-age=-1", CacheControl(max_age_s=0)),
        ("9111 4.2.1", "max-age=1.5", CacheControl(max_age_s=0)),
        ("9111 5.2", "max-age =60", CacheControl(max_age_s=0)),
        ("9111 5.2", "max-age= 60", CacheControl(max_age_s=0)),
        ("9111 1.2.2", "max-age=003600", CacheControl(max_age_s=3600)),
        ("9111 1.2.2", "max-age=2147483648", CacheControl(max_age_s=LONGEST_S)),
        ("9111 1.2.2", "max-age=" + "9" * 400, CacheControl(max_age_s=LONGEST_S)),
        ("9111 1.2.2", "max-age=" + "0" * 400 + "7", CacheControl(max_age_s=7)),
    ],
)
def test_cache_control(clause: str, field: str, expected: CacheControl) -> None:
    assert parse_cache_control(field) == expected, f"RFC {clause}: {field}"


@pytest.mark.parametrize(
    ("clause", "field", "expected"),
    [
        ("9213 2.1", "max-age=60", CacheControl(max_age_s=60)),
        ("9213 2.1", "foobar, max-age=60", CacheControl(max_age_s=60)),
        ("9213 2.1", "max-age=60;x=1, list=(1 2)", CacheControl(max_age_s=60)),
        ("9213 2.1", "no-store", CacheControl(no_store=True)),
        ("9213 2.1", "no-store=?0", CacheControl()),
        ("9213 2.1", 'private="set-cookie"', CacheControl(private=True)),
        ("9213 2.1", "max-age=1, max-age=2", CacheControl(max_age_s=2)),
        ("9111 1.2.2", "max-age=99999999999", CacheControl(max_age_s=LONGEST_S)),
        ("9111 4.2.1", "max-age=-5", CacheControl(max_age_s=0)),
        ("9213 2.1", "", None),
        ("9213 2.1", "max-age=60, &&&&&", None),
        ("9213 2.1", 'max-age="60"', None),
        ("9213 2.1", "max-age=60.5", None),
        ("9213 2.1", "max-age", None),
        ("9213 2.1", "max-age=(60)", None),
        ("8941 3.2", "MaX-aGe=60", None),
        ("8941 3.2", "max-age =60", None),
        ("8941 3.2", "max-age=60,", None),
        ("8941 4.2", "m\xe4x-age=60", None),
    ],
)
def test_cdn_cache_control(clause: str, field: str, expected: CacheControl | None) -> None:
    assert parse_cdn_cache_control(field) == expected, f"RFC {clause}: {field}"
