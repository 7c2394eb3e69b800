"""Figures of bitstreams with the search for better latents, beside those of plain bitstreams. No I/O.

Both sets have the same pictures and qualities, so that the search is their only difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from models.config import HIGH_PX, QUALITIES
from models.evaluation.figures import (
    BdRate,
    Contender,
    MeanPoint,
    Metric,
    Ours,
    PairRatio,
    PictureScores,
    bd_rates,
    mean_points,
    pair_ratios,
)
from models.evaluation.rd import Curve, CurveError, ScoreRange, median_bd_rate
from models.evaluation.searched import SearchedPicture
from models.evaluation.streams import contenders

HEADS = (Ours.HIGH, Ours.HIGH_CPU)
"""The heads for which the search is evaluated; each searched latent is optimised for one of them."""
_BESIDE_DEFAULT = (-20, -10, 0, 14)
"""Distances of the searched qualities from the default quality (assumed): with a default of about 32 they cover the
range of scores of a BD-rate."""
_EVERYTHING = ScoreRange(low=-np.inf, high=np.inf, shortest=np.finfo(float).tiny)


@dataclass(frozen=True)
class SearchGain:
    """The median BD-rate of searched bitstreams against plain ones, over all scores that both reach."""

    ours: Ours
    metric: Metric
    percent: float | None  # None where the curves have no range of scores in common
    percent_per_second: float | None


@dataclass(frozen=True)
class DeployedHead:
    """The figures of bitstreams that were searched for one head, and of plain bitstreams of the same pictures."""

    head: Ours
    steps: int
    pictures: int
    qualities: tuple[int, ...]
    seconds: float  # mean time of one encode including its search
    gains: tuple[SearchGain, ...]
    plain_rates: tuple[BdRate, ...]
    rates: tuple[BdRate, ...]  # BD-rates of the searched bitstreams, in the order of `plain_rates`
    plain_pairs: tuple[PairRatio, ...]
    pairs: tuple[PairRatio, ...]  # as `plain_pairs`, of the bitstreams after the search
    plain_means: tuple[MeanPoint, ...]
    means: tuple[MeanPoint, ...]  # mean points of the searched bitstreams and of the anchors

    def points(self, name: str) -> list[MeanPoint]:
        """Return the mean points at 344 px of an anchor, or of our searched bitstreams decoded by a head."""
        return _at_344(self.means, name)

    def plain_points(self, ours: Ours) -> list[MeanPoint]:
        """Return the mean points at 344 px of our plain bitstreams decoded by the head `ours`."""
        return _at_344(self.plain_means, ours)


def searched_qualities(default: int) -> tuple[int, ...]:
    """Return the qualities at which bitstreams are searched, for a model with this default quality."""
    return tuple(sorted({min(max(default + step, 0), QUALITIES - 1) for step in _BESIDE_DEFAULT}))


def compare_searched(
    searched: Sequence[SearchedPicture], pictures: Sequence[PictureScores], anchors: Sequence[str], *, default: int
) -> DeployedHead:
    """Compare `searched`, all for one head and number of steps, with the plain bitstreams in `pictures`."""
    head, steps = searched[0].head, searched[0].steps
    seconds = mean(second for one in searched for second in one.seconds)
    plain = [_select_qualities(_of(one, pictures), _qualities(one)) for one in searched]
    after = [_replace_streams(before, one) for before, one in zip(plain, searched, strict=True)]
    sides = (head, Ours.MEDIUM)
    return DeployedHead(
        head=head,
        steps=steps,
        pictures=len(searched),
        qualities=_qualities(searched[0]),
        seconds=seconds,
        gains=tuple(_gain(after, plain, ours, metric=one, seconds=seconds) for ours in sides for one in Metric),
        plain_rates=bd_rates(plain, anchors, sides),
        rates=bd_rates(after, anchors, sides),
        plain_pairs=pair_ratios(plain, anchors, [default], by=head),
        pairs=pair_ratios(after, anchors, [default], by=head),
        plain_means=mean_points(plain),
        means=mean_points(after),
    )


def _at_344(means: Sequence[MeanPoint], name: str) -> list[MeanPoint]:
    return [one for one in means if (one.name, one.size_px) == (name, HIGH_PX)]


def _qualities(one: SearchedPicture) -> tuple[int, ...]:
    return tuple(stream.high.quality for stream in one.streams)


def _of(one: SearchedPicture, pictures: Sequence[PictureScores]) -> PictureScores:
    return next(picture for picture in pictures if picture.path == one.path)


def _select_qualities(picture: PictureScores, qualities: Sequence[int]) -> PictureScores:
    """Return the scores of a picture with only these qualities of our codecs, and with all files of the anchors."""
    return PictureScores(picture.path, tuple(_select(one, qualities) for one in picture.contenders))


def _select(one: Contender, qualities: Sequence[int]) -> Contender:
    if one.name not in set(Ours):
        return one
    return Contender(one.name, one.size_px, tuple(file for file in one.files if file.quality in qualities))


def _replace_streams(plain: PictureScores, by: SearchedPicture) -> PictureScores:
    """Return the scores of a picture with those of our searched bitstreams in place of our plain ones."""
    ours = contenders(by.streams)
    names = {one.name for one in ours}
    return PictureScores(plain.path, (*ours, *(one for one in plain.contenders if one.name not in names)))


def _gain(
    after: Sequence[PictureScores], plain: Sequence[PictureScores], ours: Ours, *, metric: Metric, seconds: float
) -> SearchGain:
    try:
        curves = [(_curve(one, ours, metric), _curve(two, ours, metric)) for one, two in zip(after, plain, strict=True)]
        percent = median_bd_rate(curves, _EVERYTHING).percent
    except CurveError:
        return SearchGain(ours, metric, percent=None, percent_per_second=None)
    return SearchGain(ours, metric, percent=percent, percent_per_second=percent / seconds)


def _curve(picture: PictureScores, ours: Ours, metric: Metric) -> Curve:
    return metric.curve(picture.files(ours, ours.size_px))
