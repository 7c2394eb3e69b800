"""The plot of demoted pictures: scores over the share of the high latent's bytes that is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from models.config import HIGH_PX, MEDIUM_PX
from models.evaluation.demotion_scores import DemotionMean, Way
from models.evaluation.plots import FAINT, GRID, INK, OURS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

_COLOURS = {
    Way.BICUBIC: "#bbbbbb",
    Way.LANCZOS: "#7a7f87",
    Way.UPSCALER: OURS,
    Way.AGAIN: "#0072B2",
    Way.ANEW: "#56B4E9",
    Way.MEDIUM: OURS,
}
"""From the palette of Okabe and Ito 2008."""
_PANELS = (
    (HIGH_PX, "psnr_db", "PSNR in dB"),
    (HIGH_PX, "ssimulacra2", "SSIMULACRA2"),
    (HIGH_PX, "distance", "ST-LPIPS (lower is better)"),
    (MEDIUM_PX, "psnr_db", "PSNR in dB"),
)


def plot_demotion(rows: Sequence[DemotionMean], path: Path) -> None:
    """Draw PSNR, SSIMULACRA2 and the perceptual distance at 344 px and PSNR at 172 px, and save them as `path`."""
    figure = Figure(figsize=(11.5, 9.2), layout="constrained", facecolor="white")
    grid = figure.subplots(2, 2)
    for axes, (size_px, field, label) in zip(grid.flat, _PANELS, strict=True):
        _draw(axes, [one for one in rows if one.size_px == size_px and getattr(one, field) is not None], field)
        axes.set_title(f"{size_px} x {size_px}", loc="left", fontsize=10, color=INK)
        axes.set_ylabel(label, color=INK)
    entries = {label: line for axes in grid.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _draw(axes: Axes, rows: Sequence[DemotionMean], field: str) -> None:
    for way, colour in _COLOURS.items():
        of_way = [one for one in rows if one.way is way]
        if of_way:
            places, heights = [one.share for one in of_way], [getattr(one, field) for one in of_way]
            axes.plot(places, heights, "o-", color=colour, label=way.value, linewidth=1.6, markersize=4)
    for one in rows:
        if one.way is Way.STORED:
            axes.plot([one.share], [getattr(one, field)], "*", color=INK, label=Way.STORED.value, markersize=11)
    axes.set_xlabel("bytes, as a share of the stored high latent's", color=FAINT, fontsize=9)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
