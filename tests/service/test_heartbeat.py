"""Silence counts only while the supervisor ran and the process could run."""

import os
import sys

import pytest

from service.serving.heartbeat import START_LIMIT_S, Phase, Silence, starved_s


def serving(*, limit_s: float = 3.0) -> Silence:
    silence = Silence(limit_s=limit_s, now_s=0.0)
    silence.note_beat(Phase.SERVING)
    assert not silence.check(now_s=0.0, starved_s=0.0)
    return silence


def first_hang(silence: Silence, *, checks: int, starved_share: float = 0.0) -> int | None:
    """Return the number of the first of these checks, half a second apart, that finds a hang."""
    times_s = [number / 2 for number in range(1, checks + 1)]
    hangs = [silence.check(now_s=time_s, starved_s=starved_share * time_s) for time_s in times_s]
    return hangs.index(True) + 1 if True in hangs else None


def test_a_silent_process_hangs_after_the_limit() -> None:
    assert first_hang(serving(), checks=20) == 6


def test_a_beat_ends_the_silence() -> None:
    silence = serving()
    for number in range(1, 100):
        if number % 5 == 0:
            silence.note_beat(Phase.SERVING)
        assert not silence.check(now_s=number / 2, starved_s=0.0)


def test_a_pause_of_the_supervisor_is_no_silence_of_the_process() -> None:
    """Both stand still while a laptop sleeps, and the supervisor may wake first."""
    silence = serving()
    assert not silence.check(now_s=8 * 3600.0, starved_s=0.0)
    assert not silence.check(now_s=8 * 3600.0 + 1, starved_s=0.0)
    assert silence.check(now_s=8 * 3600.0 + 2, starved_s=0.0)


def test_waiting_for_a_cpu_is_no_silence() -> None:
    assert first_hang(serving(), checks=50, starved_share=1.0) is None
    assert first_hang(serving(), checks=50, starved_share=0.5) == 12


def test_a_start_may_take_longer() -> None:
    silence = Silence(limit_s=3.0, now_s=0.0)
    assert not silence.is_serving
    assert first_hang(silence, checks=200) == START_LIMIT_S * 2


def test_without_a_limit_no_silence_is_too_long() -> None:
    assert first_hang(serving(limit_s=0), checks=10_000) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells for how long a process has waited for a CPU")
def test_the_wait_for_a_cpu_is_known() -> None:
    assert starved_s(os.getpid()) > 0


def test_a_process_that_is_gone_has_waited_for_nothing() -> None:
    assert starved_s(2**31 - 1) == 0
