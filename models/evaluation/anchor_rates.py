"""BD-rates of the anchors (the formats compared with) against one anchor, by the same rules as our own. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.config import HIGH_PX
from models.evaluation.figures import Metric, PictureScores
from models.evaluation.rd import OverlapError, median_bd_rate


@dataclass(frozen=True)
class AnchorRate:
    """The BD-rate of one anchor's files at 344 against the files of another anchor."""

    name: str
    against: str
    metric: Metric
    percent: float | None  # None where no picture has two curves that share a long enough range of scores
    pictures: int
    left_out: int
    whole_range: int


def anchor_rates(pictures: Sequence[PictureScores], names: Sequence[str], *, against: str) -> tuple[AnchorRate, ...]:
    """Return the BD-rates of each anchor against the anchor `against` by each metric, in the order of the names."""
    return tuple(_rate(pictures, name, against, metric=metric) for name in names for metric in Metric)


def _rate(pictures: Sequence[PictureScores], name: str, against: str, *, metric: Metric) -> AnchorRate:
    pairs = [(metric.curve(one.files(name, HIGH_PX)), metric.curve(one.files(against, HIGH_PX))) for one in pictures]
    try:
        found = median_bd_rate(pairs, metric.range)
    except OverlapError:
        return AnchorRate(name, against, metric, percent=None, pictures=0, left_out=len(pairs), whole_range=0)
    return AnchorRate(
        name,
        against,
        metric,
        percent=found.percent,
        pictures=found.pictures,
        left_out=found.left_out,
        whole_range=found.whole_range,
    )
