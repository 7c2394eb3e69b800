"""What is kept in memory: never more than allowed, never anything else than was put, and scans pass through."""

from hypothesis import given
from hypothesis import strategies as st

from service.cache.s3_fifo import S3Fifo

KEYS = st.integers(0, 12).map(str)
STEPS = st.lists(st.tuples(st.sampled_from(["get", "put"]), KEYS, st.integers(0, 60)), max_size=200)


@given(limit=st.integers(0, 150), steps=STEPS)
def test_it_never_exceeds_its_bytes_and_gives_back_what_was_put(limit: int, steps: list[tuple[str, str, int]]) -> None:
    tier = S3Fifo[str](limit)
    for what, key, size in steps:
        value = key.encode() * size
        if what == "put":
            tier.put(key, value)
        found = tier.get(key)
        assert found is None or set(found) <= set(key.encode())
        assert 0 <= tier.size_bytes <= limit


def test_a_value_comes_back_until_room_is_needed() -> None:
    tier = S3Fifo[str](100)
    tier.put("a", b"1" * 60)
    assert tier.get("a") == b"1" * 60
    assert (len(tier), tier.size_bytes) == (1, 60)
    assert tier.get("b") is None


def test_one_that_is_larger_than_the_tier_is_not_kept_and_displaces_nothing() -> None:
    tier = S3Fifo[str](100)
    tier.put("a", b"1" * 60)
    tier.put("b", b"2" * 101)
    assert tier.get("a") is not None
    assert tier.get("b") is None


def test_no_bytes_keep_nothing() -> None:
    tier = S3Fifo[str](0)
    tier.put("a", b"1")
    assert tier.get("a") is None


def test_what_is_used_survives_a_scan_of_ten_times_the_tier() -> None:
    tier = S3Fifo[str](1000)
    favourites = [f"favourite-{number}" for number in range(40)]
    for key in favourites:
        tier.put(key, b"f" * 10)
        tier.get(key)
    for number in range(1000):
        tier.put(f"scan-{number}", b"s" * 10)
        if number % 20 == 0:
            for key in favourites:
                tier.get(key)
    assert all(tier.get(key) for key in favourites)


def test_one_that_comes_back_soon_after_it_was_dropped_is_kept_longer() -> None:
    tier = S3Fifo[str](100)
    for number in range(12):
        tier.put(f"once-{number}", b"1" * 10)
    assert tier.get("once-0") is None
    tier.put("once-0", b"1" * 10)
    for number in range(100, 112):
        tier.put(f"once-{number}", b"1" * 10)
    assert tier.get("once-0") is not None
    assert tier.get("once-11") is None


def test_one_that_is_no_longer_used_leaves_the_main_queue() -> None:
    tier = S3Fifo[str](100)
    tier.put("old", b"1" * 10)
    tier.get("old")
    for round_ in range(8):
        for number in range(10):
            key = f"{round_}-{number}"
            tier.put(key, b"1" * 10)
            tier.get(key)
            tier.get(key)
    assert tier.get("old") is None
