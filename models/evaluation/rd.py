"""Rate-distortion curves, and the figures read off them: BD-rate, and bytes at a given score. No I/O.

A curve belongs to one picture and one codec: bytes of the whole file against a score (PSNR or SSIMULACRA2), higher is
better. Between its points it is PCHIP (Fritsch and Carlson 1980) of log bytes over the score, which stays monotone
where the points are.

BD-rate (Bjontegaard, VCEG-M33, with PCHIP for the cubic) is the mean difference of log bytes over the scores that both
curves cover, as a percentage; -50 % is half the bytes at equal score.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator


class CurveError(ValueError):
    """The points or curves do not allow the figure."""


class TooFewPointsError(CurveError):
    """There are fewer than two usable points."""


class OverlapError(CurveError):
    """Two curves share too short a range of scores for a meaningful difference."""


class OutsideCurveError(CurveError):
    """The curve does not reach the score, and nothing is extrapolated."""


@dataclass(frozen=True)
class ScoreRange:
    low: float
    high: float
    shortest: float  # the least overlap of two curves (assumed: a fifth of the range)


PSNR_RANGE_DB = ScoreRange(low=28.0, high=38.0, shortest=2.0)
SSIMULACRA2_RANGE = ScoreRange(low=50.0, high=85.0, shortest=7.0)


@dataclass(frozen=True)
class RatePoint:
    size_bytes: int
    score: float


@dataclass(frozen=True)
class Curve:
    """Points in strictly increasing order of both bytes and score."""

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
    """The median over pictures, and the number of pictures behind it."""

    percent: float
    pictures: int
    left_out: int  # pictures whose curves overlap too little
    whole_range: int  # pictures whose curves both cover the whole range


def curve(points: Iterable[RatePoint]) -> Curve:
    """Make a curve, dropping each point that costs more bytes than another without a better score."""
    kept: list[RatePoint] = []
    for point in sorted(points, key=lambda point: (point.size_bytes, -point.score)):
        if not kept or point.score > kept[-1].score:
            kept.append(point)
    if len(kept) < 2:  # noqa: PLR2004 a line needs two points
        raise TooFewPointsError(f"{len(kept)} usable points are not a curve")
    return Curve(points=tuple(kept))


def bytes_at(of: Curve, score: float) -> float:
    """Return the bytes that a codec needs for a score, interpolated between measured points."""
    if not of.lowest <= score <= of.highest:
        raise OutsideCurveError(f"score {score:.2f} is outside the curve ({of.lowest:.2f} to {of.highest:.2f})")
    return float(np.exp(of.log_bytes()(score)))


def bd_rate(ours: Curve, anchor: Curve, within: ScoreRange) -> float:
    """Return the per cent of bytes by which `ours` differs from `anchor` at equal score."""
    low = max(within.low, ours.lowest, anchor.lowest)
    high = min(within.high, ours.highest, anchor.highest)
    if high - low < within.shortest:
        raise OverlapError(
            f"the curves overlap by only {max(high - low, 0):.2f} within the scores {within.low} to {within.high}"
        )
    area = ours.log_bytes().integrate(low, high) - anchor.log_bytes().integrate(low, high)
    return float(np.expm1(area / (high - low)) * 100)


def median_bd_rate(pairs: Sequence[tuple[Curve, Curve]], within: ScoreRange) -> MedianRate:
    """Return the median BD-rate over pairs of (ours, anchor), one pair for each picture."""
    rates: list[float] = []
    for ours, anchor in pairs:
        try:
            rates.append(bd_rate(ours, anchor, within))
        except OverlapError:
            continue
    if not rates:
        raise OverlapError(f"none of {len(pairs)} pictures has curves that overlap enough")
    return MedianRate(
        percent=median(rates),
        pictures=len(rates),
        left_out=len(pairs) - len(rates),
        whole_range=sum(_covers(ours, within) and _covers(anchor, within) for ours, anchor in pairs),
    )


def percent_or_nan(pairs: Sequence[tuple[Curve, Curve]], within: ScoreRange) -> float:
    """Return the median BD-rate, or nan where no two curves overlap, as at the beginning of a training."""
    try:
        return median_bd_rate(pairs, within).percent
    except OverlapError:
        return float("nan")


def _covers(one: Curve, within: ScoreRange) -> bool:
    return one.lowest <= within.low and one.highest >= within.high


def geometric_mean(ratios: Sequence[float]) -> float:
    logs: NDArray[np.float64] = np.log(np.asarray(ratios, dtype=np.float64))
    return float(np.exp(logs.mean()))
