"""What the search for a better latent gains: the same pictures with and without it, and per second that it takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.training.cost import clock
from models.training.figures import Contender, MeanPoint, Metric, Ours, PictureScores, mean_points
from models.training.processors import in_two_processes, one_thread
from models.training.rd import Curve, CurveError, ScoreRange, median_bd_rate
from models.training.streams import Heads, Scorers, StreamScores, contenders, score_stream

_SIDES = (Ours.HIGH, Ours.HIGH_CPU, Ours.MEDIUM)


@dataclass(frozen=True)
class RefineJob:
    path: Path
    qualities: tuple[int, ...]
    steps: int
    weights: Path | None
    device: str


@dataclass(frozen=True)
class RefinedStreams:
    """The refined streams of one picture, in the order of the qualities."""

    path: Path
    streams: tuple[StreamScores, ...]
    seconds: tuple[float, ...]  # each encode as a whole, one thread; on a CPU its own time


@dataclass(frozen=True)
class RefinementGain:
    """Median over pictures of the BD-rate of refined streams against plain ones, over all scores that both reach."""

    ours: Ours
    metric: Metric
    percent: float | None  # None: the curves have no range in common
    percent_per_second: float | None


@dataclass(frozen=True)
class RefinementFigures:
    steps: int
    pictures: int
    seconds: float  # of one stream, mean
    plain: tuple[MeanPoint, ...]
    refined: tuple[MeanPoint, ...]  # in the order of `plain`
    gains: tuple[RefinementGain, ...]


def refine_streams(jobs: Sequence[RefineJob]) -> Iterator[RefinedStreams]:
    """In the order of the jobs, as they come."""
    return in_two_processes(_refine_picture, jobs)


def _refine_picture(job: RefineJob) -> RefinedStreams:
    scorers, heads = Scorers.of(job.path), Heads.load(job.weights, job.device)
    seconds = clock(heads.gpu)
    blobs, marks_s = [], [seconds()]
    with one_thread():
        for quality in job.qualities:
            blobs.append(heads.gpu.encode(scorers.high.reference, quality=quality, refine=job.steps))
            marks_s.append(seconds())
        streams = tuple(score_stream(blob, heads, scorers) for blob in blobs)
    return RefinedStreams(job.path, streams, seconds=tuple(np.diff(marks_s).tolist()))


def refinement(pictures: Sequence[PictureScores], refined: Sequence[RefinedStreams], steps: int) -> RefinementFigures:
    """`pictures` holds the plain streams of the refined pictures, among others."""
    after = [PictureScores(one.path, contenders(one.streams)) for one in refined]
    before = [_plain(one, pictures) for one in after]
    pairs = list(zip(after, before, strict=True))
    seconds = float(np.mean([one.seconds for one in refined]))
    return RefinementFigures(
        steps=steps,
        pictures=len(after),
        seconds=seconds,
        plain=mean_points(before),
        refined=mean_points(after),
        gains=tuple(_gain(pairs, ours, metric=metric, seconds=seconds) for ours in _SIDES for metric in Metric),
    )


def _plain(like: PictureScores, pictures: Sequence[PictureScores]) -> PictureScores:
    """The same picture at the same qualities before refinement."""
    found = next(one for one in pictures if one.path == like.path)
    return PictureScores(like.path, tuple(_same_qualities(found, one) for one in like.contenders))


def _same_qualities(picture: PictureScores, like: Contender) -> Contender:
    qualities = {file.quality for file in like.files}
    files = picture.files(like.name, like.size_px)
    return Contender(like.name, like.size_px, tuple(file for file in files if file.quality in qualities))


def _gain(
    pairs: Sequence[tuple[PictureScores, PictureScores]], ours: Ours, *, metric: Metric, seconds: float
) -> RefinementGain:
    """Pairs of (refined, plain)."""
    everything = ScoreRange(low=-np.inf, high=np.inf, shortest=np.finfo(float).tiny)
    try:
        curves = [(_curve(after, ours, metric), _curve(before, ours, metric)) for after, before in pairs]
        percent = median_bd_rate(curves, everything).percent
    except CurveError:
        return RefinementGain(ours, metric, percent=None, percent_per_second=None)
    return RefinementGain(ours, metric, percent=percent, percent_per_second=percent / seconds)


def _curve(picture: PictureScores, ours: Ours, metric: Metric) -> Curve:
    return metric.curve(picture.files(ours, ours.size_px))
