"""When a demoted picture counts as hot again. The time is an argument."""

import pytest

from service.cache.promotion import HOLD_S, PICTURES, WINDOW_S, Promotion


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_picture_is_due_at_its_last_needed_request(clock: Clock) -> None:
    promotion = Promotion(3, clock=clock)
    assert [promotion.is_due(b"cat") for _ in range(4)] == [False, False, True, False]
    assert not promotion.is_due(b"dog")


def test_a_failed_attempt_is_repeated_after_a_pause(clock: Clock) -> None:
    promotion = Promotion(1, clock=clock)
    assert promotion.is_due(b"cat")
    clock.now_s += HOLD_S - 1
    assert not promotion.is_due(b"cat")
    clock.now_s += 1
    assert promotion.is_due(b"cat")


def test_requests_of_longer_ago_do_not_count(clock: Clock) -> None:
    promotion = Promotion(2, clock=clock)
    assert not promotion.is_due(b"cat")
    clock.now_s += WINDOW_S + 1
    assert [promotion.is_due(b"cat") for _ in range(2)] == [False, True]


def test_the_table_forgets_the_picture_requested_longest_ago(clock: Clock) -> None:
    promotion = Promotion(2, clock=clock)
    for number in range(PICTURES + 1):
        assert not promotion.is_due(str(number).encode())
    assert promotion.is_due(b"1")
    assert not promotion.is_due(b"0")


def test_it_can_be_turned_off(clock: Clock) -> None:
    promotion = Promotion(0, clock=clock)
    assert not any(promotion.is_due(b"cat") for _ in range(9))
