"""The scatter plot: one dot for each picture at its BD-rates against AVIF and JPEG, which the medians do not show."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from models.evaluation.anchors import YARDSTICK, anchor
from models.evaluation.per_picture import PictureRate, worst
from models.evaluation.plots import FAINT, GRID, INK, OURS

_NAMED = 5
_NAME_LETTERS = 20
_LINE_PT, _NAME_PT = 10.5, 55.0  # vertical and horizontal distances at which two names do not overlap
_ASIDE_PT = 9.0


@dataclass(frozen=True)
class _Dot:
    name: str
    psnr_percent: float
    ssimulacra2_percent: float


def plot_scatter(rates: Sequence[PictureRate], path: Path) -> None:
    """Draw one panel for each anchor in `rates`, in order of first appearance, and save the plot as `path`."""
    by_anchor = {
        name: [one for one in rates if one.anchor == name] for name in dict.fromkeys(one.anchor for one in rates)
    }
    figure = Figure(figsize=(5.9 * len(by_anchor), 5.8), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(by_anchor), squeeze=False)[0]
    for axes, (name, of_anchor) in zip(panels, by_anchor.items(), strict=True):
        _draw(axes, name, of_anchor)
    note = (
        f"Dark: the worst {_NAMED} by both scores together. Shaded: fewer bytes at equal score, by both. "
        f"AVIF: {anchor(YARDSTICK).settings}."
    )
    figure.supxlabel(note, fontsize=8.5, color=FAINT)
    figure.draw_without_rendering()  # computes the axes' layout, by which `_name` places the pictures' names
    for axes, of_anchor in zip(panels, by_anchor.values(), strict=True):
        _name(axes, _dots(worst(of_anchor, _NAMED)), points_per_px=72 / figure.dpi)
    figure.savefig(path, dpi=150)


def _draw(axes: Axes, name: str, rates: Sequence[PictureRate]) -> None:
    dots = _dots(rates)
    _frame(axes, f"{len(dots)} of {len(rates)} pictures against {name}")
    if not dots:
        return
    _limit(axes, dots)
    named = _dots(worst(rates, _NAMED))
    axes.scatter(
        [one.psnr_percent for one in dots],
        [one.ssimulacra2_percent for one in dots],
        s=34,
        color=[INK if one in named else OURS for one in dots],
        edgecolors="white",
        linewidths=0.8,
        zorder=3,
    )
    _mark_medians(axes, dots)


def _dots(rates: Sequence[PictureRate]) -> list[_Dot]:
    """Return a dot for each picture that has BD-rates by both scores."""
    return [
        _Dot(one.path.stem[:_NAME_LETTERS], one.psnr_percent, one.ssimulacra2_percent)
        for one in rates
        if one.psnr_percent is not None and one.ssimulacra2_percent is not None
    ]


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlabel("BD-rate at equal PSNR", color=FAINT, fontsize=9)
    axes.set_ylabel("BD-rate at equal SSIMULACRA2", color=FAINT, fontsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda percent, _: f"{percent:+.0f} %" if percent else "0"))
    axes.tick_params(which="both", colors=FAINT, labelsize=9, length=0)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_color(GRID)


def _limit(axes: Axes, dots: Sequence[_Dot]) -> None:
    """Set both axes to the same scale, including zero, and shade the quadrant where both BD-rates are negative."""
    across = [0.0, *(one.psnr_percent for one in dots)]
    upward = [0.0, *(one.ssimulacra2_percent for one in dots)]
    half = max(max(across) - min(across), max(upward) - min(upward)) * 0.56 + 4
    for values, limit in ((across, axes.set_xlim), (upward, axes.set_ylim)):
        middle = (max(values) + min(values)) / 2
        limit(middle - half, middle + half)
    axes.set_aspect("equal")
    axes.axhline(0, color=FAINT, linewidth=0.9)
    axes.axvline(0, color=FAINT, linewidth=0.9)
    left, low = axes.get_xlim()[0], axes.get_ylim()[0]
    axes.fill_between([left, 0], low, 0, color=GRID, alpha=0.45, linewidth=0, zorder=0)


def _mark_medians(axes: Axes, dots: Sequence[_Dot]) -> None:
    psnr, perceptual = median(one.psnr_percent for one in dots), median(one.ssimulacra2_percent for one in dots)
    axes.axvline(psnr, color=OURS, linewidth=1.1, linestyle="--", zorder=2)
    axes.axhline(perceptual, color=OURS, linewidth=1.1, linestyle="--", zorder=2)
    left, top = axes.get_xlim()[0], axes.get_ylim()[1]
    for percent, place, aside_pt in ((psnr, (psnr, top), (4, -11)), (perceptual, (left, perceptual), (5, 4))):
        text = f"median {percent:+.1f} %"
        axes.annotate(text, place, xytext=aside_pt, textcoords="offset points", color=OURS, fontsize=8.5, bbox=_halo())


def _name(axes: Axes, dots: Sequence[_Dot], *, points_per_px: float) -> None:
    """Write each dot's name to its left, moved down where it would overlap another name."""
    taken: list[tuple[float, float]] = []
    for dot in sorted(dots, key=lambda one: -one.ssimulacra2_percent):
        place = dot.psnr_percent, dot.ssimulacra2_percent
        x_pt, y_pt = (float(one) * points_per_px for one in axes.transData.transform(place))
        lowest = min((y for x, y in taken if abs(x - x_pt) < _NAME_PT), default=float("inf"))
        name_pt = min(y_pt, lowest - _LINE_PT)
        taken.append((x_pt, name_pt))
        axes.annotate(
            dot.name,
            place,
            xytext=(-_ASIDE_PT, name_pt - y_pt),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8.5,
            color=INK,
            bbox=_halo(),
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 2},
        )


def _halo() -> dict[str, object]:
    """Return the style of a translucent white box behind a text, which keeps it readable on top of lines."""
    return {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
