"""The summary of a scenario counts right, and a missed goal is told."""

import pytest

from tests.faults.answers import OLD, REFUSED, RESET, TIMED_OUT, WRONG, Answer, Limits, Span, Summary, summarise
from tests.faults.soak import Sample, growth_mb_h

SPAN = Span(began_s=10, healed_s=14, ended_s=20)
ANSWERS = [
    Answer(11, 0.5, 200),
    Answer(12, 1.0, 503),
    Answer(13, 0.1, 502),
    Answer(13.5, 0.1, 503),
    Answer(14.5, 0.2, cut=RESET),
    Answer(15, 3.5, 200),  # slow
    Answer(15.5, 0.1, 200),
    Answer(15.6, 0.1, 200, verdict=OLD),
    Answer(16, 0.1, cut=REFUSED),
    Answer(16.5, 0.5, cut=TIMED_OUT),
    Answer(18, 0.1, 200),
]


def test_the_summary_counts_what_clients_saw() -> None:
    seen = summarise(ANSWERS, SPAN, {"fetches": 3})
    assert seen == Summary(
        ok=5,
        other_statuses={502: 1, 503: 2},
        resets=1,
        refused=1,
        timed_out=1,
        slowest_s=3.5,
        silent_s=4.0,
        normal_after_s=2.5,
        old=1,
        figures={"fetches": 3},
    )


def test_without_a_picture_all_the_time_is_silence() -> None:
    assert summarise([], SPAN).silent_s == 10
    assert summarise([Answer(12, 0.1, 503)], SPAN).missed(Limits()) == ["no picture was served"]


def test_normal_again_is_counted_from_the_end_of_the_fault() -> None:
    assert summarise([Answer(13, 0.1, 503), Answer(15, 0.1, 200)], SPAN).normal_after_s == 0


@pytest.mark.parametrize(
    ("seen", "limits", "missed"),
    [
        (Summary(ok=1, old=1), Limits(), ["old 1 > 0"]),
        (Summary(ok=1, wrong=2), Limits(), ["wrong 2 > 0"]),
        (Summary(ok=1, timed_out=1), Limits(), ["timed_out 1 > 0"]),
        (Summary(ok=1, resets=1), Limits(), []),
        (Summary(ok=1, resets=1), Limits(resets=0), ["resets 1 > 0"]),
        (Summary(ok=1, other_statuses={502: 1, 503: 2}), Limits(other_statuses=2), ["other_statuses 3 > 2"]),
        (Summary(ok=1, figures={"fetches": 3}), Limits(figures={"fetches": 2}), ["fetches 3 > 2"]),
        (Summary(ok=1, slowest_s=4.0, silent_s=4.0), Limits(slowest_s=4, silent_s=3), ["silent_s 4 > 3"]),
        (Summary(skipped="no root"), Limits(resets=0, figures={"fetches": 2}), []),
    ],
)
def test_a_missed_goal_is_told(seen: Summary, limits: Limits, missed: list[str]) -> None:
    assert seen.missed(limits) == missed


def test_growth_is_the_slope_of_the_resident_memory() -> None:
    samples = [Sample(at_s, 50_000_000 + 2_000 * at_s, 30) for at_s in range(450)]
    assert growth_mb_h(samples) == pytest.approx(7.2)


def test_one_picture_that_is_wrong_is_counted() -> None:
    assert summarise([Answer(12, 0.1, 200, verdict=WRONG)], SPAN).wrong == 1
