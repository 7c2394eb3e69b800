"""Draw the measured figures as one picture: rivals side by side, and an edge under too much load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.figures import SIZES, Figures

NAME = "bench.png"
COLOURS = {"344": "#33658a", "172": "#86bbd8"}


def draw(figures: Figures, folder: Path) -> None:
    """Draw the measured figures into a picture in the folder."""
    mpl.use("Agg")
    sheet = Figure(figsize=(13, 4), layout="constrained")
    rivals, goodput, latency = sheet.subplots(1, 3)
    if "rivals" in figures.by_script:
        _rivals(rivals, figures.by_script["rivals"]["cpu_ms"])
    if "open_loop" in figures.by_script:
        found = figures.by_script["open_loop"]
        _goodput(goodput, found["loads"], capacity=found["capacity_per_s"])
        _latency(latency, found["loads"], patience_ms=1000 * found["patience_s"])
    sheet.suptitle(f"{figures.machine}, shared, {figures.date}", fontsize=9)
    folder.mkdir(parents=True, exist_ok=True)
    sheet.savefig(folder / NAME, dpi=80)


def _rivals(axes: Axes, rows: dict[str, Any]) -> None:
    names = list(rows)
    for number, size in enumerate(SIZES):
        places = [place + 0.4 * number for place in range(len(names))]
        bars = axes.barh(places, [rows[name][size]["cpu_ms"] for name in names], 0.4, color=COLOURS[size], label=size)
        axes.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
    axes.set_yticks([place + 0.2 for place in range(len(names))], names)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("processor time of a request, ms")
    axes.legend()


def _goodput(axes: Axes, loads: Sequence[dict[str, float]], *, capacity: float) -> None:
    offered = [row["offered_per_s"] for row in loads]
    axes.plot(offered, offered, ":", color="grey", label="requested")
    axes.plot(offered, [row["good_per_s"] for row in loads], "o-", color=COLOURS["344"], label="pictures in time")
    axes.axvline(capacity, color="grey", linewidth=0.8)
    axes.set_ylim(0, 1.6 * max(row["good_per_s"] for row in loads))
    axes.set_xlabel("requests a second, each a decode of 344 (line: capacity)")
    axes.set_ylabel("answers a second")
    axes.legend()


def _latency(axes: Axes, loads: Sequence[dict[str, float]], *, patience_ms: float) -> None:
    offered = [row["offered_per_s"] for row in loads]
    axes.semilogy(offered, [row["p50_ms"] for row in loads], "o-", color=COLOURS["344"], label="median")
    axes.semilogy(offered, [row["p99_ms"] for row in loads], "o-", color=COLOURS["172"], label="99 %")
    axes.axhline(patience_ms, color="grey", linestyle=":", label="client time-out")
    axes.set_xlabel("requests a second")
    axes.set_ylabel("latency from the scheduled time, ms")
    axes.legend()
