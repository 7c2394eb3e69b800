"""BD-rate and curves against answers known beforehand."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.rd import (
    PSNR_RANGE_DB,
    SSIMULACRA2_RANGE,
    Curve,
    OutsideCurveError,
    OverlapError,
    RatePoint,
    TooFewPointsError,
    bd_rate,
    bytes_at,
    curve,
    geometric_mean,
    median_bd_rate,
)


def rising(*, first_bytes: int = 2_000, low: float = 26.0, high: float = 40.0, points: int = 8) -> Curve:
    """Bytes double every 3 units of score: a straight line in the log."""
    step = (high - low) / (points - 1)
    scores = [low + step * index for index in range(points)]
    return curve(RatePoint(round(first_bytes * 2 ** ((score - low) / 3)), score) for score in scores)


def scaled(of: Curve, factor: float) -> Curve:
    return curve(RatePoint(round(point.size_bytes * factor), point.score) for point in of.points)


@pytest.mark.parametrize(
    ("factor", "percent"),
    [(1.0, 0.0), (0.5, -50.0), (2.0, 100.0), (0.75, -25.0), (1.1, 10.0)],
)
def test_a_rate_scaled_everywhere_is_the_bd_rate(factor: float, percent: float) -> None:
    anchor = rising(first_bytes=20_000)
    assert bd_rate(scaled(anchor, factor), anchor, PSNR_RANGE_DB) == pytest.approx(percent, abs=0.02)


def test_one_decibel_better_at_equal_bytes() -> None:
    anchor = rising(first_bytes=20_000)
    better = curve(RatePoint(point.size_bytes, point.score + 1) for point in anchor.points)
    assert bd_rate(better, anchor, PSNR_RANGE_DB) == pytest.approx(100 * (2 ** (-1 / 3) - 1), abs=0.02)


def test_swapping_the_curves_gives_the_reciprocal() -> None:
    ours, anchor = rising(first_bytes=20_000, points=9), rising(first_bytes=31_000, low=27, points=11)
    there, back = (1 + bd_rate(*pair, PSNR_RANGE_DB) / 100 for pair in ((ours, anchor), (anchor, ours)))
    assert there * back == pytest.approx(1)


def test_what_lies_outside_the_range_does_not_count() -> None:
    anchor = curve(RatePoint(round(1_000 * 1.3**i), 22 + i) for i in range(22))
    # Twice the bytes below 27 dB and above 39 dB, equal between.
    ours = curve(
        RatePoint(point.size_bytes if 27 <= point.score <= 39 else point.size_bytes * 2, point.score)
        for point in anchor.points
        if point.score >= 27
    )
    assert bd_rate(ours, anchor, PSNR_RANGE_DB) == pytest.approx(0, abs=0.3)


def test_the_range_shrinks_to_what_both_cover() -> None:
    wide, narrow = rising(first_bytes=2_000, low=20, high=44), rising(first_bytes=4_000, low=31, high=35)
    # Both double every 3 dB: at 31 dB the wide one takes 2,000 * 2 ** (11 / 3).
    expected = 100 * (4_000 / (2_000 * 2 ** (11 / 3)) - 1)
    assert bd_rate(narrow, wide, PSNR_RANGE_DB) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("low", "high"),
    [(20.0, 25.0), (20.0, 29.5), (36.5, 44.0), (39.0, 44.0)],
)
def test_too_short_an_overlap_is_refused(low: float, high: float) -> None:
    with pytest.raises(OverlapError):
        bd_rate(rising(low=low, high=high), rising(), PSNR_RANGE_DB)


def test_the_perceptual_range_is_its_own() -> None:
    anchor = curve(RatePoint(1_000 + 500 * i, 40 + 5 * i) for i in range(11))
    assert bd_rate(scaled(anchor, 2), anchor, SSIMULACRA2_RANGE) == pytest.approx(100)
    with pytest.raises(OverlapError):
        bd_rate(anchor, anchor, PSNR_RANGE_DB)


def test_points_that_cost_more_and_give_less_are_dropped() -> None:
    cleaned = curve(
        [
            RatePoint(3_000, 33),
            RatePoint(1_000, 30),
            RatePoint(2_000, 29.5),  # more bytes than the one at 30 dB, and worse
            RatePoint(2_500, 30),  # more bytes, no better
            RatePoint(3_000, 31),  # the same bytes, worse
            RatePoint(4_000, 35),
        ]
    )
    assert cleaned.points == (RatePoint(1_000, 30), RatePoint(3_000, 33), RatePoint(4_000, 35))


@pytest.mark.parametrize("points", [[], [RatePoint(100, 30)], [RatePoint(100, 30), RatePoint(200, 29)]])
def test_fewer_than_two_usable_points_are_not_a_curve(points: list[RatePoint]) -> None:
    with pytest.raises(TooFewPointsError):
        curve(points)


@given(
    st.lists(
        st.builds(RatePoint, st.integers(1, 10**6), st.floats(20, 45, allow_nan=False)),
        min_size=2,
        max_size=20,
    )
)
def test_a_cleaned_curve_rises_in_bytes_and_score(points: list[RatePoint]) -> None:
    try:
        cleaned = curve(points).points
    except TooFewPointsError:
        return
    assert all(a.size_bytes < b.size_bytes and a.score < b.score for a, b in itertools.pairwise(cleaned))


def test_bytes_at_a_measured_point_are_its_own_and_between_points_are_between() -> None:
    of = curve([RatePoint(1_000, 30), RatePoint(2_000, 33), RatePoint(5_000, 36)])
    assert [bytes_at(of, score) for score in (30, 33, 36)] == pytest.approx([1_000, 2_000, 5_000])
    assert 2_000 < bytes_at(of, 34.5) < 5_000
    # A straight line in the log: half way in score is the geometric mean in bytes.
    assert bytes_at(rising(), 33) == pytest.approx(math.sqrt(bytes_at(rising(), 31) * bytes_at(rising(), 35)), rel=1e-3)


@pytest.mark.parametrize("score", [25.9, 40.1])
def test_nothing_is_extrapolated(score: float) -> None:
    with pytest.raises(OutsideCurveError):
        bytes_at(rising(), score)


def test_the_median_counts_the_pictures_it_leaves_out() -> None:
    anchor = rising(first_bytes=20_000)
    halves, equal, doubled = (scaled(anchor, factor) for factor in (0.5, 1, 2))
    outside = rising(low=10, high=20)
    found = median_bd_rate([(halves, anchor), (doubled, anchor), (outside, anchor), (equal, anchor)], PSNR_RANGE_DB)
    assert found.percent == pytest.approx(0)
    assert (found.pictures, found.left_out, found.whole_range) == (3, 1, 3)
    with pytest.raises(OverlapError):
        median_bd_rate([(outside, anchor)], PSNR_RANGE_DB)


def test_ratios_are_averaged_geometrically() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1)
