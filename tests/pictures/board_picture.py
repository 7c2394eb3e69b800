"""Draw the panels of Grafana's board by matplotlib: the same queries, units and legends, without a Grafana."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, PercentFormatter

from tests.grafana_board import ROWS, Drawn
from tests.prometheus_server import Prometheus, Series

COLUMNS = 3
POINTS = 120
INTERVAL_S = 15
"""Grafana's $__rate_interval, where a scrape a second is drawn in a point for every few."""


FORMATTERS: Mapping[str, Callable[[], object]] = MappingProxyType(
    {
        "percentunit": lambda: PercentFormatter(1.0),
        "s": lambda: EngFormatter("s"),
        "reqps": lambda: FuncFormatter(lambda value, _: f"{value:g} req/s"),
        "ops": lambda: FuncFormatter(lambda value, _: f"{value:g} ops/s"),
        "Bps": lambda: EngFormatter("B/s"),
        "bytes": lambda: EngFormatter("B"),
        "short": lambda: FuncFormatter(lambda value, _: f"{value:g}"),
    }
)


def draw(prometheus: Prometheus, path: Path, *, since_s: float) -> None:
    """Write all panels as one picture."""
    panels = [drawn for row in ROWS.values() for drawn in row]
    rows = math.ceil(len(panels) / COLUMNS)
    sheet = Figure(figsize=(4.8 * COLUMNS, 2.5 * rows), layout="constrained")
    step_s = max(1, math.ceil((time.time() - since_s) / POINTS))
    for axes, drawn in zip(sheet.subplots(rows, COLUMNS).flat, panels, strict=False):
        axes.set_title(drawn.title, fontsize=9, loc="left")
        found = {
            legend: prometheus.ask_range(
                query.replace("$__rate_interval", f"{max(INTERVAL_S, 4 * step_s)}s"), since_s=since_s, step_s=step_s
            )
            for legend, query in drawn.queries.items()
        }
        _heat_map(axes, found, since_s=since_s) if drawn.is_heat_map else _lines(axes, drawn, found, since_s=since_s)
    for axes in sheet.axes[len(panels) :]:
        axes.set_axis_off()
    sheet.supxlabel("seconds", fontsize=9)
    sheet.savefig(path, dpi=90)


def _lines(axes: Axes, drawn: Drawn, found: Mapping[str, list[Series]], *, since_s: float) -> None:
    for legend, many in found.items():
        for series in many:
            name = _filled(legend, series.labels)
            axes.plot([at - since_s for at in series.times_s], series.values, label=name, linewidth=1.2)
    axes.yaxis.set_major_formatter(FORMATTERS[drawn.unit]())  # type: ignore[arg-type]
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    else:
        axes.text(0.5, 0.5, "no series", transform=axes.transAxes, ha="center")


def _filled(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)


def _heat_map(axes: Axes, found: Mapping[str, list[Series]], *, since_s: float) -> None:
    times_s = next(series.times_s for many in found.values() for series in many)
    buckets = sorted((series for many in found.values() for series in many), key=lambda one: float(one.labels["le"]))
    counts = np.diff([one.values for one in buckets], axis=0, prepend=0)  # Prometheus' buckets are cumulative
    axes.pcolormesh([at - since_s for at in times_s], range(len(buckets)), counts, cmap="viridis", shading="nearest")
    axes.set_yticks(range(0, len(buckets), 3), [one.labels["le"] for one in buckets[::3]])
    axes.tick_params(labelsize=7)
    axes.set_ylabel("s", fontsize=7)
