"""Rate-distortion curves and what is read off them: BD-rate, and bytes at a given score. No I/O.

A curve belongs to one picture and one codec: bytes of the whole file against a score (PSNR or SSIMULACRA2),
more is better. Between its points it is PCHIP (Fritsch and Carlson 1980) of log bytes over the score, which
stays monotone where the points are.

BD-rate (Bjontegaard, VCEG-M33, with PCHIP for the cubic): the mean difference of log bytes over the scores
that both curves cover, as a percentage; -50 % is half the bytes at equal score.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator


class CurveError(ValueError):
    """The points or curves do not carry the figure that is asked for."""


class TooFewPointsError(CurveError):
    """Fewer than two usable points: not a curve."""


class OverlapError(CurveError):
    """Two curves share too short a range of scores for their difference to mean anything."""


class OutsideCurveError(CurveError):
    """A score that the curve does not reach, above or below: nothing is extrapolated."""


@dataclass(frozen=True)
class ScoreRange:
    low: float
    high: float
    shortest: float  # assumed: an overlap under a fifth of the range is refused


PSNR_RANGE_DB = ScoreRange(low=28.0, high=38.0, shortest=2.0)
SSIMULACRA2_RANGE = ScoreRange(low=50.0, high=85.0, shortest=7.0)


@dataclass(frozen=True)
class RatePoint:
    size_bytes: int
    score: float


@dataclass(frozen=True)
class Curve:
    """Points in strictly rising order of both bytes and score."""

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
    """The median over pictures, and what it rests on."""

    percent: float
    pictures: int
    left_out: int  # pictures whose curves share too little
    whole_range: int  # pictures whose curves both cover the whole range


def curve(points: Iterable[RatePoint]) -> Curve:
    """Drops each point that costs more bytes than another and is no better than it."""
    kept: list[RatePoint] = []
    for point in sorted(points, key=lambda point: (point.size_bytes, -point.score)):
        if not kept or point.score > kept[-1].score:
            kept.append(point)
    if len(kept) < 2:  # noqa: PLR2004 a line needs two points
        raise TooFewPointsError(f"{len(kept)} usable points are not a curve")
    return Curve(points=tuple(kept))


def bytes_at(of: Curve, score: float) -> float:
    """The bytes a codec needs for a score, between its measured points."""
    if not of.lowest <= score <= of.highest:
        raise OutsideCurveError(f"score {score:.2f} is outside the curve ({of.lowest:.2f} to {of.highest:.2f})")
    return float(np.exp(of.log_bytes()(score)))


def bd_rate(ours: Curve, anchor: Curve, within: ScoreRange) -> float:
    """Percent of bytes by which `ours` differs from `anchor` at equal score."""
    low = max(within.low, ours.lowest, anchor.lowest)
    high = min(within.high, ours.highest, anchor.highest)
    if high - low < within.shortest:
        raise OverlapError(f"the curves share {max(high - low, 0):.2f} of the range {within.low} to {within.high}")
    area = ours.log_bytes().integrate(low, high) - anchor.log_bytes().integrate(low, high)
    return float(np.expm1(area / (high - low)) * 100)


def median_bd_rate(pairs: Sequence[tuple[Curve, Curve]], within: ScoreRange) -> MedianRate:
    """Pairs of (ours, anchor), one for each picture."""
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
    """The median BD-rate, or nan where no two curves overlap: training that has hardly begun."""
    try:
        return median_bd_rate(pairs, within).percent
    except OverlapError:
        return float("nan")


def _covers(one: Curve, within: ScoreRange) -> bool:
    return one.lowest <= within.low and one.highest >= within.high


def geometric_mean(ratios: Sequence[float]) -> float:
    logs: NDArray[np.float64] = np.log(np.asarray(ratios, dtype=np.float64))
    return float(np.exp(logs.mean()))
