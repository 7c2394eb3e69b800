"""The plots of a study: quality over code length, the curves of the translators, rate and negative ELBO, the sweep."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from models.config import MEDIUM_PX
from models.evaluation.plots import FAINT, GRID, INK, OURS
from models.studies.design import Kind
from models.studies.remedies import Way

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from models.studies.kinds import KindFigures
    from models.studies.principal_blocks import LinearFigures
    from models.studies.remedies import WayFigures
    from models.studies.results import CodecPoint

# The colours are from the palette of Okabe and Ito 2008, which colour-blind readers can distinguish.
_OF_KIND = {Kind.CONNECTED: "#7a7f87", Kind.CONVOLUTIONAL: "#0072B2", Kind.VARIATIONAL: "#009E73"}
WAYS = {
    Way.NOTE: "the note's MLP",
    Way.STANDARDISE: "1 standardised codes",
    Way.CAPACITY: "2 more capacity",
    Way.MIDDLE: "3 fully connected layer in the middle",
    Way.FINE_TUNE: "4 fine-tuning",
    Way.ALTERNATE: "5 alternating",
    Way.FROM_START: "6 medium learns high codes from the start",
    Way.VARIATIONAL: "between two VAEs",
    Way.SECOND_HEAD: "second decoder head (ours)",
    Way.JOINT: "second head, trained with the code (ours)",
}
"""The name of each way in plots and tables. The numbers are those of the note's list."""
_OF_WAY = ("#000000", "#56B4E9", "#0072B2", "#7a7f87", "#CC79A7", "#F0E442", "#009E73", "#aa7755", OURS, OURS)
_DPI = 110


def plot_kinds(kinds: Sequence[KindFigures], linear: Sequence[LinearFigures], path: Path) -> None:
    """Plot PSNR over code length, one panel for each side of the pictures, with the linear maps as a dashed line."""
    sides = sorted({one.size_px for one in kinds})
    figure = Figure(figsize=(4 * len(sides), 3.8), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(sides), squeeze=False)[0]
    for axes, px in zip(panels, sides, strict=True):
        for kind, colour in _OF_KIND.items():
            line = sorted((one.code_length, one.psnr_db) for one in kinds if (one.kind, one.size_px) == (kind, px))
            if line:
                axes.plot(*zip(*line, strict=True), "o-", color=colour, label=kind.replace("-", " "), markersize=5)
        yardstick = sorted((one.code_length, one.psnr_db) for one in linear if one.size_px == px)
        axes.plot(*zip(*yardstick, strict=True), "o--", color=INK, label="linear, not trained", markersize=3)
        axes.set_xscale("log", base=2)
        _frame(axes, f"{px} x {px} px", x="numbers in a code", y="PSNR (dB)")
    panels[0].legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=_DPI)


def plot_ways(ways: Sequence[WayFigures], path: Path) -> None:
    """Plot PSNR of the medium picture over the seconds of each translator's training."""
    figure = Figure(figsize=(10, 5.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for (way, label), colour in zip(WAYS.items(), _OF_WAY, strict=True):
        for one in ways:
            if one.way == way:
                style = "--" if way is Way.JOINT else "-"
                seconds, scores = [point.seconds for point in one.points], [point.psnr_db for point in one.points]
                axes.plot(seconds, scores, style, marker="o", markersize=3, color=colour, label=label)
    note = next(one for one in ways if one.way == Way.NOTE)
    for level, label in (
        (note.ceiling_db, "medium autoencoder itself"),
        (note.resized_db, "high decoded, then LANCZOS"),
    ):
        axes.axhline(level, color=FAINT, linewidth=1, linestyle=":")
        axes.annotate(label, (0, level), xytext=(4, 3), textcoords="offset points", fontsize=8, color=FAINT)
    _frame(axes, "PSNR of the medium picture", x="processor seconds of training", y="PSNR (dB)")
    figure.legend(loc="outside right center", frameon=False, fontsize=9, labelcolor=INK)
    figure.savefig(path, dpi=_DPI)


def plot_rates(kinds: Sequence[KindFigures], codec: Sequence[CodecPoint], quality: int, path: Path) -> None:
    """Plot rate and PSNR of VAEs and codec, and their negative ELBOs with the same weight of the distortion."""
    figure = Figure(figsize=(11, 4.2), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    line = [(one.nats.rate, one.nats.psnr_db) for one in codec]
    left.plot(*zip(*line, strict=True), "o-", color=OURS, label="released codec, 172 px, by quality", markersize=4)
    for number, one in enumerate(medium_vaes(kinds)):
        marker = "osD^vP*"[number % 7]
        label = f"VAE, {one.code_length} numbers, beta {one.beta:g}"
        left.plot(one.nats.rate, one.nats.psnr_db, marker, color=_OF_KIND[Kind.VARIATIONAL], label=label)  # type: ignore[union-attr]  # chosen so
    left.set_xscale("log")
    _frame(left, "rate and PSNR", x="rate: nats a picture", y="PSNR (dB)")
    left.legend(frameon=False, fontsize=8)
    _draw_bars(right, bars(kinds, codec, quality))
    figure.savefig(path, dpi=_DPI)


def medium_vaes(kinds: Sequence[KindFigures]) -> list[KindFigures]:
    """Return the variational autoencoders of 172 px pictures."""
    return [one for one in kinds if one.nats and one.size_px == MEDIUM_PX]


def bars(kinds: Sequence[KindFigures], codec: Sequence[CodecPoint], quality: int) -> list[tuple[str, float, float]]:
    """Return name, rate and distortion in nats of each model whose loss has the lambda of `quality`."""
    of_vaes = [
        (f"VAE, {one.code_length}", one.nats.rate, one.nats.distortion)
        for one in medium_vaes(kinds)
        if one.nats and one.beta == 1
    ]
    of_codec = [
        (f"codec, quality {one.quality}", one.nats.rate, one.nats.distortion) for one in codec if one.quality == quality
    ]
    return [*of_vaes, *of_codec]


def _draw_bars(axes: Axes, found: list[tuple[str, float, float]]) -> None:
    names = [name for name, _, _ in found]
    rates, distortions = [rate for _, rate, _ in found], [distortion for _, _, distortion in found]
    axes.barh(names, rates, color=_OF_KIND[Kind.CONVOLUTIONAL], label="rate: KL, or ln 2 x bits")
    axes.barh(names, distortions, left=rates, color=GRID, label="distortion: |x - x_hat|^2 / (2 sigma^2)")
    axes.invert_yaxis()
    _frame(axes, "negative ELBO", x="nats a picture", y="")
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def plot_sweep(sweep: Sequence[KindFigures], path: Path) -> None:
    """Plot PSNR and KL divergence over beta."""
    figure = Figure(figsize=(9, 3.4), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    betas = [one.beta for one in sweep]
    left.plot(betas, [one.psnr_db for one in sweep], "o-", color=_OF_KIND[Kind.VARIATIONAL])
    right.plot(
        betas, [one.nats.rate if one.nats else math.nan for one in sweep], "o-", color=_OF_KIND[Kind.VARIATIONAL]
    )
    for axes, y in ((left, "PSNR (dB)"), (right, "KL (nats a picture)")):
        axes.set_xscale("log", base=2)
        _frame(axes, y.partition(" (")[0], x="beta", y=y)
    figure.savefig(path, dpi=_DPI)


def _frame(axes: Axes, title: str, *, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    axes.set_xlabel(x, color=FAINT, fontsize=9)
    axes.set_ylabel(y, color=FAINT, fontsize=9)
    axes.tick_params(which="both", colors=FAINT, labelsize=8)
    axes.grid(visible=True, which="major", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
