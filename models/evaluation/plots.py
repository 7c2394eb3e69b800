"""The rate-distortion plot: PSNR and SSIMULACRA2 over bytes at 344 and 172 px, as means over the pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike, NDArray

from models.config import HIGH_PX, MEDIUM_PX
from models.evaluation.figures import MeanPoint, Metric, Ours

_LAST_KB = 64.0
INK, FAINT, GRID = "#1f2328", "#656d76", "#e4e7eb"
OURS = "#D55E00"  # from the palette of Okabe and Ito 2008, which colour-blind readers can distinguish


@dataclass(frozen=True)
class _Line:
    name: str  # the `MeanPoint.name` of the points on this line
    label: str
    colour: str  # from the palette of Okabe and Ito 2008, which colour-blind readers can distinguish
    dashes: str | tuple[int, tuple[int, ...]] = "-"
    width: float = 1.6
    on_top: int = 2


@dataclass(frozen=True)
class _Panel:
    size_px: int
    metric: Metric
    title: str
    axis: str
    low: float
    high: float


def plot_curves(points: Sequence[MeanPoint], path: Path) -> None:
    figure = Figure(figsize=(11.5, 9.2), layout="constrained", facecolor="white")
    grid = figure.subplots(2, 2)
    for axes, panel in zip(grid.flat, _panels(), strict=True):
        _draw(axes, panel, [one for one in points if one.size_px == panel.size_px])
    # The four panels share one legend: no panel has all lines, and our lines at 344 and at 172 px have one entry.
    entries = {
        label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        entries.values(), entries, loc="outside lower center", ncols=3, frameon=False, fontsize=9, labelcolor=INK
    )
    figure.savefig(path, dpi=150)


def _panels() -> tuple[_Panel, ...]:
    return tuple(
        _Panel(size_px, metric, f"{size_px} x {size_px}, {label}", f"{label}{unit}", low, high)
        for size_px in (HIGH_PX, MEDIUM_PX)
        for metric, label, unit, low, high in (
            (Metric.PSNR, "PSNR", " (dB)", 24.0, 42.0),
            (Metric.SSIMULACRA2, "SSIMULACRA2", "", 20.0, 95.0),
        )
    )


def _lines() -> tuple[_Line, ...]:
    return (
        _Line("JPEG", "JPEG (optimised, progressive, 4:2:0)", "#7a7f87"),
        _Line("WebP", "WebP (method 6)", "#009E73"),
        _Line("JPEG XL", "JPEG XL (effort 7)", "#000000", dashes=(0, (3, 1, 1, 1)), width=1.2),
        _Line("AVIF", "AVIF (speed 6, 4:4:4, tune=iq)", "#0072B2"),
        _Line("AVIF tune=ssim", "AVIF (speed 6, 4:4:4, tune=ssim)", "#56B4E9", dashes=(0, (5, 2))),
        _Line("AVIF speed 2 tune=ssim", "AVIF (speed 2, 4:4:4, tune=ssim)", "#56B4E9"),
        _Line(Ours.ALONE, "medium autoencoder, a stream of its own", "#CC79A7", dashes=(0, (5, 2))),
        _Line(Ours.HIGH_CPU, "latentedge, the light head (high-cpu)", OURS, dashes=(0, (4, 2)), width=1.4, on_top=3),
        _Line(Ours.SHRUNK, "latentedge, decoded to 344, then LANCZOS", OURS, dashes=(0, (1, 1)), width=1.4, on_top=3),
        _Line(Ours.MEDIUM, "latentedge (one stream holds 344 and 172)", OURS, width=2.4, on_top=4),
        _Line(Ours.HIGH, "latentedge (one stream holds 344 and 172)", OURS, width=2.4, on_top=4),
    )


def _draw(axes: Axes, panel: _Panel, points: Sequence[MeanPoint]) -> None:
    for line in _lines():
        on_line = sorted((one for one in points if one.name == line.name), key=lambda one: one.size_bytes)
        scores = [one.psnr_db if panel.metric is Metric.PSNR else one.ssimulacra2 for one in on_line]
        if on_line:
            axes.plot(
                [one.size_bytes / 1e3 for one in on_line],
                scores,
                label=line.label,
                color=line.colour,
                linestyle=line.dashes,
                linewidth=line.width,
                zorder=line.on_top,
                marker="o" if line.width > 2 else None,  # noqa: PLR2004 the bold lines are ours
                markersize=3.6,
            )
    _frame(axes, panel)


def _frame(axes: Axes, panel: _Panel) -> None:
    first_kb = 1.0 if panel.size_px == HIGH_PX else 0.5
    axes.set_xscale("log", base=2)
    axes.set_xlim(first_kb, _LAST_KB)
    axes.set_ylim(panel.low, panel.high)
    axes.set_title(panel.title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlabel("bytes of a file or stream (kB)", color=FAINT, fontsize=9)
    axes.set_ylabel(panel.axis, color=FAINT, fontsize=9)
    axes.set_xticks([tick for tick in (0.5, 1, 2, 4, 8, 16, 32) if tick >= first_kb])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda kilobytes, _: f"{kilobytes:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", colors=FAINT, labelsize=9, length=0)
    axes.grid(visible=True, which="major", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
    _bits_per_px(axes, panel.size_px)


def _bits_per_px(axes: Axes, size_px: int) -> None:
    """Add a second x axis at the top in bits per pixel, the unit of the codec literature."""
    bits_per_kb = 8e3 / size_px**2
    top = axes.secondary_xaxis("top", functions=(_times(bits_per_kb), _times(1 / bits_per_kb)))
    top.set_xticks([0.125, 0.25, 0.5, 1, 2, 4] if size_px == HIGH_PX else [0.25, 0.5, 1, 2, 4, 8])
    top.xaxis.set_major_formatter(FuncFormatter(lambda bits, _: f"{bits:g} bpp"))
    top.xaxis.set_minor_formatter(NullFormatter())
    top.tick_params(which="both", colors=FAINT, labelsize=8, length=0)
    top.spines["top"].set_visible(False)


def _times(factor: float) -> Callable[[ArrayLike], NDArray[np.float64]]:
    return lambda values: np.asarray(values, dtype=np.float64) * factor
