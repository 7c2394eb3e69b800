"""Compute the figures that we publish from scored files: BD-rates, pair ratios, the translator's gap. No I/O, no codec.

Rules: per picture, PCHIP over at least 8 qualities, over 28 to 38 dB (SSIMULACRA2 50 to 85), then the median over
pictures, with the bytes of whole files and bitstreams. A pair ratio is the size of our one bitstream over the two files
that reach our scores at 344 and at 172, as geometric mean over pictures. Pictures left out of a figure are counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from models.config import HIGH_PX, MEDIUM_PX, QUALITIES
from models.evaluation.rd import (
    PSNR_RANGE_DB,
    SSIMULACRA2_RANGE,
    Curve,
    OutsideCurveError,
    OverlapError,
    RatePoint,
    ScoreRange,
    bytes_at,
    curve,
    geometric_mean,
    median_bd_rate,
)
from models.scores import ScoredFile

# Distance from the default quality of the other two qualities with pair ratios (assumed).
_OTHER_QUALITIES = 12


class Metric(StrEnum):
    PSNR = "psnr"
    SSIMULACRA2 = "ssimulacra2"

    @property
    def range(self) -> ScoreRange:
        return PSNR_RANGE_DB if self is Metric.PSNR else SSIMULACRA2_RANGE

    def of(self, file: ScoredFile) -> float:
        return file.psnr_db if self is Metric.PSNR else file.ssimulacra2

    def curve(self, files: Iterable[ScoredFile]) -> Curve:
        return curve(RatePoint(file.size_bytes, self.of(file)) for file in files)


class Ours(StrEnum):
    """The curves of our own codecs."""

    HIGH = "high-gpu"  # the headline: the better head of the 344 picture
    HIGH_CPU = "high-cpu"  # its light head, from the same bytes
    MEDIUM = "medium"  # by the translator, from the same bytes
    SHRUNK = "high-gpu, then LANCZOS"
    ALONE = "medium autoencoder alone"

    @property
    def size_px(self) -> int:
        return HIGH_PX if self in (Ours.HIGH, Ours.HIGH_CPU) else MEDIUM_PX


BY_BD_RATE = (Ours.HIGH, Ours.HIGH_CPU, Ours.MEDIUM, Ours.ALONE)
"""The contenders in the tables of BD-rates."""


@dataclass(frozen=True)
class Contender:
    """One codec's files of one picture at one size."""

    name: str  # name of an anchor or of `Ours`
    size_px: int
    files: tuple[ScoredFile, ...]


@dataclass(frozen=True)
class PictureScores:
    path: Path
    contenders: tuple[Contender, ...]

    def files(self, name: str, size_px: int) -> tuple[ScoredFile, ...]:
        return next(one.files for one in self.contenders if (one.name, one.size_px) == (name, size_px))

    def ours_at(self, ours: Ours, quality: int) -> ScoredFile:
        return next(file for file in self.files(ours, ours.size_px) if file.quality == quality)


@dataclass(frozen=True)
class BdRate:
    ours: Ours
    size_px: int
    metric: Metric
    anchor: str  # its bytes are 100 %: an anchor, or another of `Ours`
    percent: float | None  # None: no picture's curves overlap enough
    pictures: int
    left_out: int
    whole_range: int


@dataclass(frozen=True)
class PairRatio:
    quality: int
    metric: Metric
    anchor: str
    ratio: float | None  # None: no picture has both files
    pictures: int
    left_out: int  # pictures where the anchor cannot reach our score at 344 or at 172, or only scores above it


@dataclass(frozen=True)
class MeanPoint:
    """The mean over pictures for one codec at one quality."""

    name: str
    size_px: int
    quality: int
    size_bytes: float
    bits_per_px: float
    psnr_db: float
    ssimulacra2: float


@dataclass(frozen=True)
class TranslatorGap:
    """How far the translator's 172 picture is behind decode-344-then-LANCZOS, from the same bytes."""

    quality: int
    psnr_db: float
    ssimulacra2: float


def pair_qualities(default: int) -> tuple[int, ...]:
    below, above = max(default - _OTHER_QUALITIES, 0), min(default + _OTHER_QUALITIES, QUALITIES - 1)
    return tuple(sorted({below, default, above}))


def bd_rates(
    pictures: Sequence[PictureScores], anchor_names: Sequence[str], contenders: Sequence[Ours] = BY_BD_RATE
) -> tuple[BdRate, ...]:
    """Return the BD-rates of these contenders by both scores against every anchor."""
    return tuple(
        _bd_rate(pictures, ours, metric, name) for ours in contenders for metric in Metric for name in anchor_names
    )


def cpu_head_losses(pictures: Sequence[PictureScores]) -> tuple[BdRate, ...]:
    """Return the BD-rates of the light head against the better one: its extra bytes at equal score."""
    return tuple(_bd_rate(pictures, Ours.HIGH_CPU, metric, Ours.HIGH) for metric in Metric)


def _bd_rate(pictures: Sequence[PictureScores], ours: Ours, metric: Metric, anchor: str) -> BdRate:
    size_px = ours.size_px
    pairs = [(metric.curve(one.files(ours, size_px)), metric.curve(one.files(anchor, size_px))) for one in pictures]
    try:
        found = median_bd_rate(pairs, metric.range)
    except OverlapError:
        return BdRate(ours, size_px, metric, anchor, percent=None, pictures=0, left_out=len(pairs), whole_range=0)
    return BdRate(
        ours,
        size_px,
        metric,
        anchor,
        percent=found.percent,
        pictures=found.pictures,
        left_out=found.left_out,
        whole_range=found.whole_range,
    )


def pair_ratios(
    pictures: Sequence[PictureScores], anchor_names: Sequence[str], qualities: Sequence[int], *, by: Ours = Ours.HIGH
) -> tuple[PairRatio, ...]:
    """Return the pair ratios by both scores; `by` is the head that decodes our 344 picture."""
    return tuple(
        _pair_ratio(pictures, name, metric, (quality, by))
        for metric in Metric
        for quality in qualities
        for name in anchor_names
    )


def _pair_ratio(pictures: Sequence[PictureScores], anchor: str, metric: Metric, stream: tuple[int, Ours]) -> PairRatio:
    quality, by = stream
    ratios: list[float] = []
    for picture in pictures:
        try:
            pair_bytes = sum(_matching_bytes(picture, anchor, metric, ours, quality) for ours in (by, Ours.MEDIUM))
        except OutsideCurveError:
            continue
        ratios.append(picture.ours_at(by, quality).size_bytes / pair_bytes)
    ratio = geometric_mean(ratios) if ratios else None
    return PairRatio(quality, metric, anchor, ratio=ratio, pictures=len(ratios), left_out=len(pictures) - len(ratios))


def _matching_bytes(picture: PictureScores, anchor: str, metric: Metric, ours: Ours, quality: int) -> float:
    files = metric.curve(picture.files(anchor, ours.size_px))
    return bytes_at(files, metric.of(picture.ours_at(ours, quality)))


def translator_gaps(pictures: Sequence[PictureScores], qualities: Sequence[int]) -> tuple[TranslatorGap, ...]:
    return tuple(
        TranslatorGap(
            quality=quality,
            psnr_db=_mean_gap(pictures, quality, Metric.PSNR),
            ssimulacra2=_mean_gap(pictures, quality, Metric.SSIMULACRA2),
        )
        for quality in qualities
    )


def _mean_gap(pictures: Sequence[PictureScores], quality: int, metric: Metric) -> float:
    return float(
        np.mean(
            [
                metric.of(one.ours_at(Ours.SHRUNK, quality)) - metric.of(one.ours_at(Ours.MEDIUM, quality))
                for one in pictures
            ]
        )
    )


def mean_points(pictures: Sequence[PictureScores]) -> tuple[MeanPoint, ...]:
    """Return every curve as means over pictures at each quality; all pictures have the same contenders."""
    return tuple(
        _mean_point(one, [picture.files(one.name, one.size_px)[index] for picture in pictures])
        for one in pictures[0].contenders
        for index in range(len(one.files))
    )


def _mean_point(of: Contender, files: Sequence[ScoredFile]) -> MeanPoint:
    size_bytes = float(np.mean([file.size_bytes for file in files]))
    return MeanPoint(
        name=of.name,
        size_px=of.size_px,
        quality=files[0].quality,
        size_bytes=size_bytes,
        bits_per_px=size_bytes * 8 / of.size_px**2,
        psnr_db=float(np.mean([file.psnr_db for file in files])),
        ssimulacra2=float(np.mean([file.ssimulacra2 for file in files])),
    )
