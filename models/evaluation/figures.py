"""Compute the published figures from scored files: BD-rates, pair ratios, the translator's gap. No I/O, no codec.

Rules: a BD-rate is computed per picture by PCHIP through at least 8 qualities, within 28 to 38 dB (SSIMULACRA2 50 to
85), and the figure is the median over pictures. Bytes are those of whole files and bitstreams. A pair ratio is the
size of our one bitstream divided by that of the two files of another format that reach our scores at 344 and at 172;
the figure is the geometric mean over pictures. Each figure says how many pictures had to be left out of it.
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
    TooFewPointsError,
    bytes_at,
    curve,
    geometric_mean,
    median_bd_rate,
)
from models.scores import ScoredFile

# Pair ratios are computed at the default quality and at this distance below and above it (assumed).
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
    """Our own codecs, each of which has one rate-distortion curve per picture."""

    HIGH = "high-gpu"  # the 344 picture, decoded by the better head
    HIGH_CPU = "high-cpu"  # the 344 picture, decoded by the light head from the bitstreams of HIGH
    MEDIUM = "medium"  # the 172 picture, decoded by the translator from the bitstreams of HIGH
    SHRUNK = "high-gpu, then LANCZOS"
    ALONE = "medium autoencoder alone"

    @property
    def size_px(self) -> int:
        return HIGH_PX if self in (Ours.HIGH, Ours.HIGH_CPU) else MEDIUM_PX


BY_BD_RATE = (Ours.HIGH, Ours.HIGH_CPU, Ours.MEDIUM, Ours.ALONE)
"""Our codecs that have rows in the tables of BD-rates."""


@dataclass(frozen=True)
class Contender:
    """The scored files of one picture at one size by one codec, ours or an anchor."""

    name: str  # the name of an anchor (a format compared with), or a value of `Ours`
    size_px: int
    files: tuple[ScoredFile, ...]


@dataclass(frozen=True)
class PictureScores:
    path: Path
    contenders: tuple[Contender, ...]

    def files(self, name: str, size_px: int) -> tuple[ScoredFile, ...]:
        return next(one.files for one in self.contenders if (one.name, one.size_px) == (name, size_px))

    def check_curves(self) -> None:
        """Raise `TooFewPointsError` where the files of a contender give no curve."""
        for one in self.contenders:
            for metric in Metric:
                try:
                    metric.curve(one.files)
                except TooFewPointsError as error:
                    raise TooFewPointsError(f"{one.name} at {one.size_px} px by {metric}: {error}") from error

    def ours_at(self, ours: Ours, quality: int) -> ScoredFile:
        return next(file for file in self.files(ours, ours.size_px) if file.quality == quality)


@dataclass(frozen=True)
class BdRate:
    ours: Ours
    size_px: int
    metric: Metric
    anchor: str  # the codec whose bytes are 100 %: the name of an anchor, or a value of `Ours`
    percent: float | None  # None where no picture has two curves that share a long enough range of scores
    pictures: int
    left_out: int
    whole_range: int


@dataclass(frozen=True)
class PairRatio:
    quality: int
    metric: Metric
    anchor: str
    ratio: float | None  # None where the anchor's files reach our scores on no picture
    pictures: int
    left_out: int  # number of pictures where our score at 344 or at 172 is outside the anchor's range of scores


@dataclass(frozen=True)
class MeanPoint:
    """The means over all pictures of bytes and scores, for one codec and size at one quality."""

    name: str
    size_px: int
    quality: int
    size_bytes: float
    bits_per_px: float
    psnr_db: float
    ssimulacra2: float


@dataclass(frozen=True)
class TranslatorGap:
    """By how much the 172 picture scores higher if it is decoded to 344 and resized, than by the translator.

    Both come from the same bitstream; the resizing is by LANCZOS. The figures are means over pictures.
    """

    quality: int
    psnr_db: float
    ssimulacra2: float


def pair_qualities(default: int) -> tuple[int, ...]:
    below, above = max(default - _OTHER_QUALITIES, 0), min(default + _OTHER_QUALITIES, QUALITIES - 1)
    return tuple(sorted({below, default, above}))


def bd_rates(
    pictures: Sequence[PictureScores], anchor_names: Sequence[str], contenders: Sequence[Ours] = BY_BD_RATE
) -> tuple[BdRate, ...]:
    """Return the BD-rates of each of `contenders` against each anchor, by PSNR and by SSIMULACRA2."""
    return tuple(
        _bd_rate(pictures, ours, metric, name) for ours in contenders for metric in Metric for name in anchor_names
    )


def cpu_head_losses(pictures: Sequence[PictureScores]) -> tuple[BdRate, ...]:
    """Return the BD-rates of `high-cpu` against `high-gpu`: the per cent of bytes it needs more at equal score."""
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
    """Return the pair ratios against each anchor at each quality, by PSNR and by SSIMULACRA2.

    `by` is the head that decodes our 344 picture; the translator decodes our 172 picture.
    """
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
    """Return the means over pictures for each codec, size and quality. All pictures must have the same contenders."""
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
