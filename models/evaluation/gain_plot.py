"""The plot of rate-distortion curves with and without the search for better latents, and of AVIF, at 344 px."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from models.evaluation.anchors import YARDSTICK
from models.evaluation.deployed import DeployedHead
from models.evaluation.figures import MeanPoint, Metric, Ours
from models.evaluation.plots import FAINT, GRID, INK, OURS

_COLOURS = {Ours.HIGH: OURS, Ours.HIGH_CPU: "#0072B2"}
_DASHES = ((0, (5, 2)), (0, (1, 1)))
"""Line styles of the searched curves: the first for the first number of steps measured, the second for the second."""
_LOWEST_SHARE = 0.9


def plot_gains(heads: Sequence[DeployedHead], path: Path) -> None:
    """Draw a panel for PSNR and one for SSIMULACRA2, and save them as `path`. The curve of AVIF is grey."""
    figure = Figure(figsize=(11.5, 5.4), layout="constrained", facecolor="white")
    for axes, metric in zip(figure.subplots(1, 2), Metric, strict=True):
        _draw(axes, metric, heads)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9, labelcolor=INK)
    figure.savefig(path, dpi=150)


def _draw(axes: Axes, metric: Metric, heads: Sequence[DeployedHead]) -> None:
    yardstick = heads[0].points(YARDSTICK)
    _line(axes, metric, yardstick, label=f"{YARDSTICK}, means of the same pictures", colour="#7a7f87")
    for ours in dict.fromkeys(one.head for one in heads):
        of_head = [one for one in heads if one.head is ours]
        plain = of_head[0].plain_points(ours)
        _line(axes, metric, plain, label=f"{ours.value}, plain", colour=_COLOURS[ours])
        for one, dashes in zip(of_head, _DASHES, strict=False):
            label = f"{ours.value}, {one.steps} steps of search"
            _line(axes, metric, one.points(ours), label=label, colour=_COLOURS[ours], dashes=dashes)
    ours_bytes = [one.size_bytes / 1e3 for one in heads[0].plain_points(heads[0].head)]
    _frame(axes, metric, low_kb=_LOWEST_SHARE * min(ours_bytes), high_kb=max(ours_bytes) / _LOWEST_SHARE)
    scores = [_score(one, metric) for one in heads[0].plain_points(heads[0].head)]
    axes.set_ylim(min(scores) - 2, max(scores) + 2)


def _line(
    axes: Axes,
    metric: Metric,
    points: Sequence[MeanPoint],
    *,
    label: str,
    colour: str,
    dashes: tuple[int, tuple[int, ...]] | None = None,
) -> None:
    axes.plot(
        [one.size_bytes / 1e3 for one in points],
        [_score(one, metric) for one in points],
        label=label,
        color=colour,
        linestyle=dashes or "-",
        linewidth=1.4 if dashes else 2.0,
        marker="o",
        markersize=3.2,
    )


def _frame(axes: Axes, metric: Metric, *, low_kb: float, high_kb: float) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(low_kb, high_kb)
    axes.set_xticks([tick for tick in (0.5, 1, 2, 4, 8, 16, 32) if low_kb <= tick <= high_kb])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda kilobytes, _: f"{kilobytes:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("bytes of a file or stream (kB)", color=FAINT, fontsize=9)
    axes.set_ylabel("PSNR at 344 (dB)" if metric is Metric.PSNR else "SSIMULACRA2 at 344", color=FAINT, fontsize=9)
    axes.tick_params(which="both", colors=FAINT, labelsize=9, length=0)
    axes.grid(visible=True, which="major", color=GRID, linewidth=0.8)
    for side in axes.spines.values():
        side.set_visible(False)


def _score(point: MeanPoint, metric: Metric) -> float:
    return point.psnr_db if metric is Metric.PSNR else point.ssimulacra2
