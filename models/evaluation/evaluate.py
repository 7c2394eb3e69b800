"""The command `latentedge evaluate`: compare our codec with the anchors (JPEG, WebP, AVIF, JPEG XL) on a folder.

The order of the work: references -> anchor files (cached) -> our streams -> figures -> tables, plots, sheets, JSON.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.config import HIGH_PX, MEDIUM_PX, QUALITIES
from models.evaluation.anchor_rates import anchor_rates
from models.evaluation.anchor_scores import AnchorJob, AnchorResult, default_cache, measure
from models.evaluation.anchors import YARDSTICK, Anchor, anchors, libraries, missing_anchors
from models.evaluation.before_after import write_before_after
from models.evaluation.cost import measure_cost
from models.evaluation.cpu_use import one_thread
from models.evaluation.deployed import HEADS, DeployedHead, compare_searched, searched_qualities
from models.evaluation.figures import (
    Contender,
    Ours,
    PictureScores,
    bd_rates,
    cpu_head_losses,
    mean_points,
    pair_qualities,
    pair_ratios,
    translator_gaps,
)
from models.evaluation.gain_plot import plot_gains
from models.evaluation.per_picture import picture_rates
from models.evaluation.plots import plot_curves
from models.evaluation.rd import TooFewPointsError
from models.evaluation.references import ReferencePictureError, pictures_in, reference
from models.evaluation.report import Evaluation, main_figures_line, write_json
from models.evaluation.scatter import plot_scatter
from models.evaluation.screens import find_screens
from models.evaluation.searched import SearchedPicture, SearchJob, search_streams
from models.evaluation.sheet import write_sheet
from models.evaluation.streams import Heads, PictureStreams, StreamJob, contenders, default_quality, score_streams
from models.evaluation.tables import print_tables
from models.evaluation.worst import write_worst

__all__ = ["EvaluateOptions", "Evaluation", "default_quality", "evaluate"]

_QUALITIES = 12  # qualities of our codec on each curve (assumed); the rules in figures.py require at least 8
_QUICK_QUALITIES = 8
_QUICK_PICTURES = 6
_TIMED_PICTURES = 8
_SCATTERED = (YARDSTICK, "JPEG")  # the anchors in the scatter plot: AVIF, as in the published figures, and JPEG


@dataclass(frozen=True)
class EvaluateOptions:
    folder: Path
    output: Path
    quick: bool = False
    cache: Path | None = None  # folder of the anchors' measured files; None means the user's cache directory
    weights: Path | None = None  # weights file; None means the released weights
    qualities: tuple[int, ...] | None = None  # our qualities to measure; None means 12 spread over 0..63 (8 if quick)
    refine_steps: tuple[int, ...] = ()  # lengths of the searches to measure, in steps; empty means no search
    refine_pictures: int = 12
    device: str = "cpu"


def evaluate(options: EvaluateOptions) -> Evaluation:
    paths = pictures_in(options.folder)
    if options.quick:
        paths = _spread(paths, _QUICK_PICTURES)
    for sentence in missing_anchors():
        print(sentence)
    rivals = _rivals(options)
    heads = Heads.load(options.weights, options.device)
    qualities = _qualities(options, heads.gpu.default_quality)
    with _progress() as progress:
        files = _measure_anchors(paths, rivals, options.cache or default_cache(), progress)
        streams = _score_ours(paths, options, qualities, progress)
        pictures = _with_curves(_join(streams, files))
        searched = _search([one.path for one in pictures], options, heads.gpu.default_quality, progress)
    evaluation = _figures(options, heads, rivals=rivals, qualities=qualities, pictures=pictures, searched=searched)
    evaluation = replace(evaluation, screens=find_screens(paths, heads.cpu))
    _write(evaluation, heads, searched, options.output)
    print_tables(evaluation, Console())
    print(main_figures_line(evaluation))
    return evaluation


def _write(evaluation: Evaluation, heads: Heads, searched: Sequence[SearchedPicture], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    write_json(evaluation, output / "evaluation.json")
    plot_curves(evaluation.mean_points, output / "rd.png")
    plot_scatter(evaluation.picture_rates, output / "scatter.png")
    against_avif = [one for one in evaluation.picture_rates if one.anchor == YARDSTICK]
    with one_thread():
        write_sheet(against_avif, heads.gpu, output / "sheet.png")
        write_worst(against_avif, heads.gpu, output / "worst.png")
        if searched:
            plot_gains(evaluation.deployed, output / "gains.png")
            write_before_after(
                searched, heads.gpu if searched[0].head is Ours.HIGH else heads.cpu, output / "searched.png"
            )


def _spread(paths: Sequence[Path], count: int) -> tuple[Path, ...]:
    """Return `count` paths spread evenly over `paths`, or all where there are not more."""
    if len(paths) <= count:
        return tuple(paths)
    return tuple(paths[index] for index in np.linspace(0, len(paths) - 1, count).round().astype(int))


def _qualities(options: EvaluateOptions, default: int) -> tuple[int, ...]:
    count = _QUICK_QUALITIES if options.quick else _QUALITIES
    spread = options.qualities or tuple(int(one) for one in np.linspace(0, QUALITIES - 1, count).round())
    searched = searched_qualities(default) if options.refine_steps else ()
    return tuple(sorted({*spread, *pair_qualities(default), *searched}))


def _rivals(options: EvaluateOptions) -> tuple[Anchor, ...]:
    return tuple(one for one in anchors() if not (options.quick and one.is_slow))


def _measure_anchors(
    paths: Sequence[Path], rivals: Sequence[Anchor], cache: Path, progress: Progress
) -> tuple[AnchorResult, ...]:
    jobs = [
        AnchorJob(path=path, size_px=size_px, anchor_name=one.name)
        for path in paths
        for size_px in (HIGH_PX, MEDIUM_PX)
        for one in rivals
    ]
    return tuple(progress.track(measure(jobs, cache), total=len(jobs), description="anchor files"))


def _score_ours(
    paths: Sequence[Path], options: EvaluateOptions, qualities: tuple[int, ...], progress: Progress
) -> tuple[PictureStreams, ...]:
    jobs = [StreamJob(path=path, qualities=qualities, weights=options.weights, device=options.device) for path in paths]
    return tuple(progress.track(score_streams(jobs), total=len(jobs), description="latentedge"))


def _join(streams: Sequence[PictureStreams], files: Sequence[AnchorResult]) -> tuple[PictureScores, ...]:
    return tuple(
        PictureScores(
            path=one.path,
            contenders=(
                *contenders(one.streams),
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


def _with_curves(pictures: Sequence[PictureScores]) -> tuple[PictureScores, ...]:
    """Leave out the pictures without a rate-distortion curve, such as flat ones, with one line on stderr for each.

    Raises `ReferencePictureError` where that leaves none.
    """
    kept: list[PictureScores] = []
    for one in pictures:
        try:
            one.check_curves()
            kept.append(one)
        except TooFewPointsError as error:
            print(f"{one.path}: left out: {error}", file=sys.stderr)
    if not kept:
        raise ReferencePictureError("no picture has a rate-distortion curve in every format; flat pictures have none")
    return tuple(kept)


def _search(
    paths: Sequence[Path], options: EvaluateOptions, default: int, progress: Progress
) -> tuple[SearchedPicture, ...]:
    jobs = [
        SearchJob(
            path=path,
            head=head,
            qualities=searched_qualities(default),
            steps=steps,
            weights=options.weights,
            device=options.device,
            folder=options.output / "searched",
        )
        for steps in options.refine_steps
        for head in HEADS
        for path in _spread(paths, options.refine_pictures)
    ]
    return tuple(progress.track(search_streams(jobs), total=len(jobs), description="search"))


def _compare_searched(
    options: EvaluateOptions,
    searched: Sequence[SearchedPicture],
    pictures: Sequence[PictureScores],
    names: Sequence[str],
    *,
    default: int,
) -> tuple[DeployedHead, ...]:
    groups = [
        [one for one in searched if (one.steps, one.head) == (steps, head)]
        for steps in options.refine_steps
        for head in HEADS
    ]
    return tuple(compare_searched(group, pictures, names, default=default) for group in groups)


def _figures(
    options: EvaluateOptions,
    heads: Heads,
    *,
    rivals: Sequence[Anchor],
    qualities: Sequence[int],
    pictures: tuple[PictureScores, ...],
    searched: Sequence[SearchedPicture],
) -> Evaluation:
    names = [one.name for one in rivals]
    default = heads.gpu.default_quality
    cost = measure_cost(heads, [reference(one.path, HIGH_PX) for one in pictures[:_TIMED_PICTURES]])
    return Evaluation(
        folder=options.folder.name,
        quick=options.quick,
        default_quality=default,
        anchor_settings={one.name: one.settings for one in rivals},
        anchor_libraries=libraries(),
        bd_rates=bd_rates(pictures, names),
        anchor_rates=anchor_rates(pictures, names, against=YARDSTICK),
        cpu_head_losses=cpu_head_losses(pictures),
        pair_ratios=pair_ratios(pictures, names, pair_qualities(default)),
        translator_gaps=translator_gaps(pictures, qualities),
        mean_points=mean_points(pictures),
        picture_rates=tuple(one for name in _SCATTERED for one in picture_rates(pictures, name)),
        decoders=cost.decoders,
        times=cost.times,
        deployed=_compare_searched(options, searched, pictures, names, default=default),
        pictures=pictures,
        screens=(),
    )


def _progress() -> Progress:
    """Return a progress bar on stderr, because stdout carries the tables and, as its last line, JSON."""
    return Progress(
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
