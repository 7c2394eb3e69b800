"""Write and read log.jsonl: one line of JSON for each measurement of a training, over all of its runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from models.training.kept import TrainingProgress

LOG = "log.jsonl"


class TrainingLog:
    """The log in one stage's folder."""

    def __init__(self, folder: Path) -> None:
        """Use log.jsonl in `folder`; the first line written creates the file."""
        self._file = folder / LOG

    def add(self, progress: TrainingProgress, figures: Mapping[str, float | None], *, optimizer: str) -> None:
        """Append one line with the progress and the figures to the log, and print it."""
        line = {**asdict(progress), "optimizer": optimizer, **figures}
        with self._file.open("a") as log:
            log.write(json.dumps(line) + "\n")
        shown = " ".join(f"{name}={_short(value)}" for name, value in line.items() if value is not None)
        Console().print(shown, soft_wrap=True)

    def begin_with(self, earlier: Path) -> None:
        """Copy the log of the folder `earlier`, with which the training began, unless this log exists already."""
        if not self._file.exists() and (earlier / LOG).exists():
            self._file.write_text((earlier / LOG).read_text())


def lines_of(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a log.jsonl as dictionaries, oldest first."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
