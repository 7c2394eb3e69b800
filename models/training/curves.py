"""A picture of a training from its log.jsonl: what the figures did over the minutes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def plot_training(log: Path, picture: Path) -> None:
    """Draw every logged figure that is a BD-rate, a gap or a loss over the minutes; nothing to draw writes nothing."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    names = sorted({name for line in lines for name in line if name.startswith(("bd_", "gap_", "loss"))})
    drawn = {name: [(line["minutes"], line[name]) for line in lines if line.get(name) is not None] for name in names}
    drawn = {name: points for name, points in drawn.items() if points}
    if not drawn:
        return
    figure, panels = plt.subplots(len(drawn), 1, figsize=(7, 2.4 * len(drawn)), sharex=True, squeeze=False)
    for axes, (name, points) in zip(panels[:, 0], drawn.items(), strict=True):
        axes.plot(*zip(*points, strict=True), marker="o", color="#2a6f97", linewidth=1.6, markersize=4)
        axes.set_title(name, loc="left", fontsize=10)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1, 0].set_xlabel("minutes of training")
    figure.tight_layout()
    figure.savefig(picture, dpi=120)
    plt.close(figure)


def plot_gap(log: Path, picture: Path) -> None:
    """The translator's way: dB behind decode-344-then-LANCZOS over the minutes, beside the note's MLP."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    figure, axes = plt.subplots(figsize=(8, 4.2))
    ours, note = ("gap_db", "ours, from the linear fit on", "#2a6f97"), ("gap_note_db", "the note's MLP", "#c1121f")
    for name, label, color in (ours, note):
        points = [(line["minutes"], line[name]) for line in lines if name in line]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=color, label=label)
    axes.set(xlabel="minutes of training", ylabel="dB behind decode 344, LANCZOS to 172", yscale="log")
    axes.grid(color="#dddddd", linewidth=0.6, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(picture, dpi=120)
    plt.close(figure)
