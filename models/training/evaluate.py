"""`latentedge evaluate`: our codec against JPEG, WebP and AVIF on a folder of pictures, from pixels to printed figures.

Reads downwards: references -> anchor files (cached) -> our streams -> figures -> tables, plot, sheet, JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX, QUALITIES
from models.training.anchors import AnchorJob, AnchorResult, anchors, default_cache, measure
from models.training.cost import decoder_cost, stage_times
from models.training.figures import (
    Contender,
    Ours,
    PictureScores,
    bd_rates,
    mean_points,
    pair_qualities,
    pair_ratios,
    translator_gaps,
)
from models.training.plots import plot_curves
from models.training.processors import one_thread
from models.training.references import pictures_in, reference
from models.training.report import Evaluation, main_figures_line, print_tables, write_json
from models.training.sheet import write_sheet
from models.training.streams import PictureStreams, StreamJob, default_quality, score_streams

__all__ = ["EvaluateOptions", "Evaluation", "default_quality", "evaluate"]

_QUALITIES = 12  # assumed; at least 8 by the rule of the figures
_QUICK_QUALITIES = 8
_QUICK_PICTURES = 6
_TIMED_PICTURES = 8


@dataclass(frozen=True)
class EvaluateOptions:
    folder: Path
    output: Path
    quick: bool = False
    cache: Path | None = None  # None: the platform's cache folder
    weights: Path | None = None  # None: the released weights
    qualities: tuple[int, ...] | None = None  # None: spread over 0..63
    device: str = "cpu"


def evaluate(options: EvaluateOptions) -> Evaluation:
    paths = _chosen(pictures_in(options.folder), quick=options.quick)
    codec = Codec.load(options.weights, device=options.device)
    qualities = _qualities(options, codec.default_quality)
    with _progress() as progress:
        files = _measure_anchors(paths, options.cache or default_cache(), progress)
        streams = _score_ours(paths, options, qualities, progress)
    evaluation = _figures(options, codec, qualities, _joined(streams, files))
    options.output.mkdir(parents=True, exist_ok=True)
    write_json(evaluation, options.output / "evaluation.json")
    plot_curves(evaluation.mean_points, options.output / "rd.png")
    with one_thread():
        write_sheet(evaluation.pictures, codec, options.output / "sheet.png")
    print_tables(evaluation, Console())
    print(main_figures_line(evaluation))
    return evaluation


def _chosen(paths: Sequence[Path], *, quick: bool) -> tuple[Path, ...]:
    """All pictures, or a few spread evenly over the folder."""
    if not quick or len(paths) <= _QUICK_PICTURES:
        return tuple(paths)
    return tuple(paths[index] for index in np.linspace(0, len(paths) - 1, _QUICK_PICTURES).round().astype(int))


def _qualities(options: EvaluateOptions, default: int) -> tuple[int, ...]:
    count = _QUICK_QUALITIES if options.quick else _QUALITIES
    spread = options.qualities or tuple(int(one) for one in np.linspace(0, QUALITIES - 1, count).round())
    return tuple(sorted({*spread, *pair_qualities(default)}))


def _measure_anchors(paths: Sequence[Path], cache: Path, progress: Progress) -> tuple[AnchorResult, ...]:
    jobs = [
        AnchorJob(path=path, size_px=size_px, anchor_name=one.name)
        for path in paths
        for size_px in (HIGH_PX, MEDIUM_PX)
        for one in anchors()
    ]
    return tuple(progress.track(measure(jobs, cache), total=len(jobs), description="JPEG, WebP, AVIF"))


def _score_ours(
    paths: Sequence[Path], options: EvaluateOptions, qualities: tuple[int, ...], progress: Progress
) -> tuple[PictureStreams, ...]:
    jobs = [StreamJob(path=path, qualities=qualities, weights=options.weights, device=options.device) for path in paths]
    return tuple(progress.track(score_streams(jobs), total=len(jobs), description="latentedge"))


def _joined(streams: Sequence[PictureStreams], files: Sequence[AnchorResult]) -> tuple[PictureScores, ...]:
    return tuple(
        PictureScores(
            path=one.path,
            contenders=(
                Contender(Ours.HIGH, HIGH_PX, one.high),
                Contender(Ours.MEDIUM, MEDIUM_PX, one.medium),
                Contender(Ours.SHRUNK, MEDIUM_PX, one.shrunk),
                Contender(Ours.ALONE, MEDIUM_PX, one.alone),
                *(
                    Contender(file.job.anchor_name, file.job.size_px, file.files)
                    for file in files
                    if file.job.path == one.path
                ),
            ),
        )
        for one in streams
    )


def _figures(
    options: EvaluateOptions, codec: Codec, qualities: Sequence[int], pictures: tuple[PictureScores, ...]
) -> Evaluation:
    names = [one.name for one in anchors()]
    references = [reference(one.path, HIGH_PX) for one in pictures[:_TIMED_PICTURES]]
    blob = codec.encode(references[0], quality=codec.default_quality)
    return Evaluation(
        folder=options.folder.name,
        quick=options.quick,
        default_quality=codec.default_quality,
        bd_rates=bd_rates(pictures, names),
        pair_ratios=pair_ratios(pictures, names, pair_qualities(codec.default_quality)),
        translator_gaps=translator_gaps(pictures, qualities),
        mean_points=mean_points(pictures),
        decoders=tuple(decoder_cost(codec, blob, size_px) for size_px in (HIGH_PX, MEDIUM_PX)),
        times=stage_times(codec, references),
        pictures=pictures,
    )


def _progress() -> Progress:
    """On stderr: stdout carries the tables and, as its last line, JSON."""
    return Progress(
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
