"""What a stage has found, written down as it comes: a crash or a cut loses nothing that was measured before.

rows.jsonl      a line for each figure or failure
gpu_check.log   tracebacks and what servers said
"""

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS, LOG = "rows.jsonl", "gpu_check.log"
Row = dict[str, Any]


@dataclass(frozen=True)
class Journal:
    """The notes of one stage in the folder of the run."""

    folder: Path
    stage: str

    def row(self, what: str, **figures: object) -> None:
        """Keep one figure with its setting, and show it."""
        with (self.folder / ROWS).open("a") as rows:
            rows.write(json.dumps({"stage": self.stage, "what": what, **figures}) + "\n")
        print(f"{self.stage}: {what}:", *(f"{name}={_short(value)}" for name, value in figures.items()), flush=True)

    def log(self, text: str) -> None:
        """Keep a text that is too long for the screen."""
        with (self.folder / LOG).open("a") as log:
            log.write(f"--- {self.stage}\n{text.rstrip()}\n")

    def failed(self, what: str, error: str, *, details: str = "") -> None:
        """Keep a failure; its details go into the log."""
        self.log(f"FAILED: {what}: {error}\n{details}")
        self.row(what, failure=error[:300])

    @contextmanager
    def tried(self, what: str) -> Iterator[None]:
        """Record the failure of a part and go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  (whatever it is, the other parts are still worth their time)
            self.failed(what, f"{type(error).__name__}: {error}", details=traceback.format_exc())


def read_rows(folder: Path) -> list[Row]:
    """Return all rows of a run so far."""
    path = folder / ROWS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ",".join(f"{name}:{_short(one)}" for name, one in value.items())
    return str(value)
