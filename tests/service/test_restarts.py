"""The back-off of a process that dies soon after its start."""

from service.serving.restarts import LONGEST_WAIT_S, SHORT_LIFE_S, Restarts


def test_the_back_off_grows_after_each_short_life() -> None:
    restarts = Restarts()
    waits_s = [restarts.note_death(lived_s=1, now_s=100) for _ in range(7)]
    assert waits_s == [1, 2, 4, 8, 16, LONGEST_WAIT_S, LONGEST_WAIT_S]
    assert not restarts.is_due(now_s=129.9)
    assert restarts.is_due(now_s=130)


def test_there_is_no_back_off_after_a_long_life() -> None:
    restarts = Restarts()
    restarts.note_death(lived_s=1, now_s=0)
    assert restarts.note_death(lived_s=SHORT_LIFE_S, now_s=10) == 0
    assert restarts.is_due(now_s=10)
    assert restarts.note_death(lived_s=1, now_s=20) == 1
