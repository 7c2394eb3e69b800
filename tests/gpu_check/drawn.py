"""One plot of a check: pictures a second from symbols, whole responses, their latency, and where the time goes."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.gpu_check.journal import Row

NAME = "gpu_check.png"
STAGES = ("store", "queue", "entropy", "synthesis", "file")
COLOURS = ("#33658a", "#86bbd8", "#f6ae2d", "#f26419", "#758e4f")


def draw(rows: Sequence[Row], folder: Path, *, title: str) -> None:
    """Draw what there is; a stage without rows leaves its part empty."""
    mpl.use("Agg")
    sheet = Figure(figsize=(15, 8), layout="constrained")
    (symbols, kernels), (responses, stages) = sheet.subplots(2, 2)
    _lines(symbols, [row for row in rows if row["what"] == "pictures"], "per_s")
    symbols.set_ylabel("pictures a second from symbols")
    _lines(kernels, _of_one_picture(rows), "kernel_us")
    kernels.set_ylabel("microseconds of kernels a picture")
    _responses(responses, [row for row in rows if row["what"].startswith("saturated")])
    _stages(stages, [row for row in rows if row["what"].startswith(("saturated", "at 70 %"))])
    sheet.suptitle(title, fontsize=10)
    sheet.savefig(folder / NAME, dpi=80)


def _lines(axes: Axes, rows: Sequence[Row], name: str) -> None:
    lines: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in rows:
        if name in row:
            lines[f"{row['head']}, {row['size_px']} px"].append((row["batch"], row[name]))
    for label, points in sorted(lines.items()):
        axes.semilogy(*zip(*sorted(points), strict=True), "o-", label=label)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("pictures in a batch")
    if lines:
        axes.legend(fontsize=8)


def _of_one_picture(rows: Sequence[Row]) -> list[Row]:
    found = [row for row in rows if row["what"] == "kernels" and "kernels_ms" in row]
    return [{**row, "kernel_us": 1000 * row["kernels_ms"] / row["batch"]} for row in found]


def _responses(axes: Axes, rows: Sequence[Row]) -> None:
    names = [_name(row) for row in rows]
    bars = axes.barh(names, [row.get("per_s", 0.0) for row in rows], color=COLOURS[0])
    axes.bar_label(bars, [_latency(row) for row in rows], fontsize=8, padding=2)
    axes.invert_yaxis()
    axes.margins(x=0.6)
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("whole responses a second, every one a decode")


def _stages(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw the means of Server-Timing one after the other."""
    names, left = [_name(row) for row in rows], [0.0] * len(rows)
    for stage, colour in zip(STAGES, COLOURS, strict=True):
        widths = [row.get("stages_ms", {}).get(stage, 0.0) for row in rows]
        axes.barh(names, widths, left=left, color=colour, label=stage)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("ms of a response by stage (Server-Timing, means)")
    if rows:
        axes.legend(fontsize=8)


def _name(row: Row) -> str:
    decoder = f", {row['EDGE_DECODER']}" if "EDGE_DECODER" in row else ""
    return f"{row['what']}: {row['workers']} proc., head {row['EDGE_HEAD']}{decoder}"


def _latency(row: Row) -> str:
    if row.get("p99_ms") is None:
        return f"{row['per_s']:.0f}"
    return f"{row['per_s']:.0f} (p50 {row['p50_ms']:.0f}, p99 {row['p99_ms']:.0f} ms)"
