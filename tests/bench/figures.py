"""Everything that was measured in one run, as one value: what tables, plots and the docs are made of."""

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUT = Path("out") / "bench"
FIGURES = OUT / "figures.json"
SIZES = ("344", "172")
_UNKNOWN = "unknown processor"


@dataclass(frozen=True)
class Figures:
    """By script; a script that failed has none."""

    by_script: Mapping[str, Any]
    machine: str
    date: str
    load: float
    """Of the machine when the run began, in processors: what else was going on."""

    def decoded_ms(self, size: str) -> float:
        return float(self.by_script["hit_cost"]["edge_ms"]["decoded"][size]["cpu_ms"])

    def from_memory_ms(self, size: str) -> float:
        return float(self.by_script["hit_cost"]["edge_ms"]["from memory"][size]["cpu_ms"])

    def save(self) -> None:
        OUT.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(json.dumps(vars(self), indent=1))

    @classmethod
    def saved(cls) -> "Figures":
        return cls(**json.loads(FIGURES.read_text()))


def begun() -> Figures:
    """Of a run that has measured nothing yet."""
    return Figures({}, machine=_machine(), date=time.strftime("%Y-%m-%d"), load=os.getloadavg()[0])


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {names[0] if names else platform.processor() or _UNKNOWN}"
