"""Plot the figures in a training's log.jsonl, over all runs of the training."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from models.training.training_log import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes

Line = dict[str, Any]
_FLAT_COLOUR, _DECAY_COLOUR = "#2a6f97", "#c1121f"


def plot_training(log: Path, picture: Path) -> None:
    """Draw each BD-rate, gap and loss in `log` over the steps, and save the plot as `picture`.

    The flat parts of all runs are one line, and the decay of each run is a branch of it. No file is written where the
    log has no figures.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    lines = lines_of(log)
    names = sorted(
        {name for line in lines for name in line if name.startswith(("bd_", "gain_", "gap_", "loss", "fixed_loss"))}
    )
    names = [name for name in names if any(line.get(name) is not None for line in lines)]
    if not names:
        return
    figure, panels = plt.subplots(len(names), 1, figsize=(7, 2.4 * len(names)), sharex=True, squeeze=False)
    for axes, name in zip(panels[:, 0], names, strict=True):
        _draw(axes, [line for line in lines if line.get(name) is not None], name)
    panels[0, 0].legend(frameon=False, fontsize=8)
    panels[-1, 0].set_xlabel("steps")
    figure.tight_layout()
    figure.savefig(picture, dpi=120)
    plt.close(figure)


def _draw(axes: Axes, lines: list[Line], name: str) -> None:
    flat = [line for line in lines if line["phase"] == "flat"]
    _draw_part(axes, flat, name, kind=("o-", _FLAT_COLOUR, "flat"))
    for branch in _branches(lines):
        _draw_part(axes, branch, name, kind=("o--", _DECAY_COLOUR, f"decay of run {branch[-1]['run']}"))
    axes.set_title(name, loc="left", fontsize=10)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_part(axes: Axes, lines: list[Line], name: str, *, kind: tuple[str, str, str]) -> None:
    style, colour, label = kind
    steps, figures = [line["step"] for line in lines], [line[name] for line in lines]
    axes.plot(steps, figures, style, color=colour, label=label, linewidth=1.6, markersize=4)


def _branches(lines: list[Line]) -> Iterator[list[Line]]:
    """Yield the log lines of each run's decay, each time preceded by the last line of the run's flat part."""
    for _run, of_run in groupby(lines, key=lambda line: line["run"]):
        flat_and_decay = list(of_run)
        decay = [line for line in flat_and_decay if line["phase"] != "flat"]
        if decay:
            flat = [line for line in flat_and_decay if line["phase"] == "flat"]
            yield flat[-1:] + decay


def plot_gap(log: Path, picture: Path) -> None:
    """Plot the PSNR loss of the translator and of the research note's MLP over the minutes of stage `heads`.

    The loss is against decoding to 344 with `high-gpu` and resizing to 172 by LANCZOS.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    lines = lines_of(log)
    figure, axes = plt.subplots(figsize=(8, 4.2))
    ours, note = (
        ("gap_db", "our translator, starting from the linear fit", "#2a6f97"),
        ("gap_note_db", "the note's MLP", "#c1121f"),
    )
    for name, label, color in (ours, note):
        points = [(line["minutes"], line[name]) for line in lines if name in line]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=color, label=label)
    axes.set(xlabel="minutes of training", ylabel="dB below decoding to 344 and LANCZOS to 172", yscale="log")
    axes.grid(color="#dddddd", linewidth=0.6, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(picture, dpi=120)
    plt.close(figure)
