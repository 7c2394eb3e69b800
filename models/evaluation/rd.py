"""Rate-distortion curves, and what is computed from them: BD-rates, and the bytes at a given score. No I/O.

A curve belongs to one picture and one codec: the bytes of the whole file against a score (PSNR or SSIMULACRA2; higher
is better). Between its points log bytes are interpolated over the score by PCHIP (Fritsch and Carlson 1980), which is
monotone because the points are.

BD-rate (Bjontegaard, VCEG-M33, with PCHIP instead of the cubic) is the mean difference of log bytes over the scores
that both curves cover, as a percentage; -50 % means half the bytes at equal score.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator


class CurveError(ValueError):
    """The requested figure cannot be computed from these points or curves."""


class TooFewPointsError(CurveError):
    """A curve needs two points of increasing bytes and score, and there are fewer."""


class OverlapError(CurveError):
    """Two curves share too short a range of scores for a meaningful difference."""


class OutsideCurveError(CurveError):
    """The score is outside the range of the curve, which is not extrapolated."""


@dataclass(frozen=True)
class ScoreRange:
    low: float
    high: float
    shortest: float  # the least overlap of two curves for a BD-rate (assumed: a fifth of the range)


PSNR_RANGE_DB = ScoreRange(low=28.0, high=38.0, shortest=2.0)
SSIMULACRA2_RANGE = ScoreRange(low=50.0, high=85.0, shortest=7.0)


@dataclass(frozen=True)
class RatePoint:
    size_bytes: int
    score: float


@dataclass(frozen=True)
class Curve:
    """A rate-distortion curve: points in strictly increasing order of both bytes and score."""

    points: tuple[RatePoint, ...]

    @property
    def lowest(self) -> float:
        return self.points[0].score

    @property
    def highest(self) -> float:
        return self.points[-1].score

    def log_bytes(self) -> PchipInterpolator:
        scores = [point.score for point in self.points]
        return PchipInterpolator(scores, np.log([point.size_bytes for point in self.points]), extrapolate=False)


@dataclass(frozen=True)
class MedianRate:
    """The median BD-rate over pictures, and how many pictures have one."""

    percent: float
    pictures: int
    left_out: int  # number of pictures whose two curves share too short a range of scores
    whole_range: int  # number of pictures whose two curves both cover the whole range of scores


def curve(points: Iterable[RatePoint]) -> Curve:
    """Return the curve of the points that no other point dominates (with no more bytes and at least the same score).

    Raises `TooFewPointsError`.
    """
    kept: list[RatePoint] = []
    for point in sorted(points, key=lambda point: (point.size_bytes, -point.score)):
        if not kept or point.score > kept[-1].score:
            kept.append(point)
    if len(kept) < 2:  # noqa: PLR2004 a line needs two points
        raise TooFewPointsError(f"a curve needs two points of increasing bytes and score, found {len(kept)}")
    return Curve(points=tuple(kept))


def bytes_at(of: Curve, score: float) -> float:
    """Return the bytes of a curve at a score, interpolated between its points. Raises `OutsideCurveError`."""
    if not of.lowest <= score <= of.highest:
        raise OutsideCurveError(f"score {score:.2f} is outside the curve's range {of.lowest:.2f} to {of.highest:.2f}")
    return float(np.exp(of.log_bytes()(score)))


def bd_rate(ours: Curve, anchor: Curve, within: ScoreRange) -> float:
    """Return the BD-rate of `ours` against `anchor` in per cent (negative: fewer bytes), over scores in `within`.

    Raises `OverlapError` where the curves share too short a range of scores.
    """
    low = max(within.low, ours.lowest, anchor.lowest)
    high = min(within.high, ours.highest, anchor.highest)
    if high - low < within.shortest:
        raise OverlapError(
            f"the curves share a range of {max(high - low, 0):.2f} within the scores {within.low} to {within.high}; "
            f"a BD-rate needs at least {within.shortest}"
        )
    area = ours.log_bytes().integrate(low, high) - anchor.log_bytes().integrate(low, high)
    return float(np.expm1(area / (high - low)) * 100)


def median_bd_rate(pairs: Sequence[tuple[Curve, Curve]], within: ScoreRange) -> MedianRate:
    """Return the median BD-rate over pairs of curves (ours, anchor), one pair for each picture.

    Pairs that overlap too little are left out. Raises `OverlapError` where that leaves none.
    """
    rates: list[float] = []
    for ours, anchor in pairs:
        try:
            rates.append(bd_rate(ours, anchor, within))
        except OverlapError:
            continue
    if not rates:
        raise OverlapError(f"none of {len(pairs)} pictures has two curves with {within.shortest} of score in common")
    return MedianRate(
        percent=median(rates),
        pictures=len(rates),
        left_out=len(pairs) - len(rates),
        whole_range=sum(_covers(ours, within) and _covers(anchor, within) for ours, anchor in pairs),
    )


def percent_or_nan(pairs: Sequence[tuple[Curve, Curve]], within: ScoreRange) -> float:
    """Return the median BD-rate in per cent, or nan where no pair overlaps enough, as happens early in a training."""
    try:
        return median_bd_rate(pairs, within).percent
    except OverlapError:
        return float("nan")


def _covers(one: Curve, within: ScoreRange) -> bool:
    return one.lowest <= within.low and one.highest >= within.high


def geometric_mean(ratios: Sequence[float]) -> float:
    logs: NDArray[np.float64] = np.log(np.asarray(ratios, dtype=np.float64))
    return float(np.exp(logs.mean()))
