"""BD-rates of each picture against an anchor by PSNR and SSIMULACRA2, and the pictures with the worst ones. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from models.config import HIGH_PX
from models.evaluation.figures import Metric, Ours, PictureScores
from models.evaluation.rd import CurveError, bd_rate, geometric_mean


@dataclass(frozen=True)
class PictureRate:
    """The BD-rates of `high-gpu` against an anchor on one picture at 344 px, in per cent of the anchor's bytes.

    A rate is None where the two curves share too short a range of scores.
    """

    path: Path
    anchor: str
    psnr_percent: float | None
    ssimulacra2_percent: float | None

    @property
    def ratio(self) -> float | None:
        """Return our bytes over the anchor's, the geometric mean of the ratios by both scores, or None without both."""
        if self.psnr_percent is None or self.ssimulacra2_percent is None:
            return None
        return geometric_mean([1 + percent / 100 for percent in (self.psnr_percent, self.ssimulacra2_percent)])

    @property
    def sentence(self) -> str:
        psnr, perceptual = (
            "no figure" if one is None else f"{one:+.0f} %" for one in (self.psnr_percent, self.ssimulacra2_percent)
        )
        return f"bytes against {self.anchor}: {psnr} at equal PSNR, {perceptual} at equal SSIMULACRA2"


def picture_rates(pictures: Sequence[PictureScores], anchor: str) -> tuple[PictureRate, ...]:
    """Return the BD-rates of each picture against `anchor`, in the order of the pictures."""
    return tuple(
        PictureRate(
            path=one.path,
            anchor=anchor,
            psnr_percent=_percent(one, anchor, Metric.PSNR),
            ssimulacra2_percent=_percent(one, anchor, Metric.SSIMULACRA2),
        )
        for one in pictures
    )


def rank(rates: Sequence[PictureRate]) -> tuple[PictureRate, ...]:
    """Sort the rates by `ratio`, the lowest (best) first; pictures without a ratio come last."""
    return tuple(sorted(rates, key=lambda one: inf if one.ratio is None else one.ratio))


def worst(rates: Sequence[PictureRate], count: int) -> tuple[PictureRate, ...]:
    """Return the rates of the `count` pictures with the highest `ratio`, the highest first, or fewer."""
    return rank([one for one in rates if one.ratio is not None])[::-1][:count]


def _percent(picture: PictureScores, anchor: str, metric: Metric) -> float | None:
    try:
        ours, files = (metric.curve(picture.files(name, HIGH_PX)) for name in (Ours.HIGH, anchor))
        return bd_rate(ours, files, metric.range)
    except CurveError:
        return None
