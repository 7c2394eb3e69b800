"""A million hostile latents and records: each gives a typed error or the very picture; none crashes, lingers or leaks.

    python -m tests.fuzz.over_latents [--cases 1000000] [--seed 0]

    damaged     streams that are cut, spliced or flipped
    records     records of the store, damaged, under a right checksum
    screens     damaged streams of the screen mode, and any bytes after a true header
    sealed      any symbols under a right checksum, as a hostile parent can send them: decoded by the plain networks and
                by both formats of the fast decoder
    unchecked   damaged streams that no checksum stops, decoded likewise

The cases run in processes with numba's bounds checks. A crash is reported with the command that repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from service.commands.progress import progress_bar

SHARES: Mapping[str, float] = {"damaged": 0.77, "records": 0.15, "screens": 0.03, "sealed": 0.03, "unchecked": 0.02}
"""Of all cases (assumed). A case that is decoded takes fifty times as long as one that is not."""
CHUNK_CASES: Mapping[str, int] = {
    "damaged": 25_000,
    "records": 25_000,
    "screens": 5_000,
    "sealed": 1_000,
    "unchecked": 1_000,
}
"""Cases of one process (assumed): it takes seconds to start."""
SLOWEST_MS = 1000.0
GROWN_KIB = 64 << 10
"""The plain networks keep a few blocks of memory more or less; one stream that is kept each case would be a gigabyte.
"""


@dataclass
class Total:
    """The reports of all processes with one kind of case."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0
    grown_kib: int = 0

    def add(self, report: Mapping[str, Any]) -> None:
        self.outcomes.update(report["outcomes"])
        self.cases = self.outcomes.total()
        self.slowest_ms = max(self.slowest_ms, round(report["slowest_ms"], 1))
        self.grown_kib = max(self.grown_kib, report["grown_kib"])

    @property
    def faults(self) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome.split()[0].isupper())

    @property
    def is_sound(self) -> bool:
        return not self.faults and self.slowest_ms < SLOWEST_MS and self.grown_kib < GROWN_KIB


@dataclass(frozen=True)
class Chunk:
    """The cases of one process."""

    kind: str
    seed: int
    cases: int

    def run(self, scratch: Path) -> dict[str, Any]:
        """Return the report; a crash is an outcome."""
        place = scratch / f"{self.kind}-{self.seed}"
        command = [sys.executable, "-m", "tests.fuzz.latent_cases", self.kind, "--seed", str(self.seed)]
        environment = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(scratch / "numba"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, "--cases", str(self.cases), "--place", str(place)],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            return report
        case = place.read_text().strip() if place.exists() else "none"
        again = " ".join([*command[1:], "--first", case, "--cases", "1", "--place", "place"])
        return {"outcomes": {f"CRASHED with {done.returncode}: {again}": 1}, "slowest_ms": 0.0, "grown_kib": 0}


def chunks(cases: int, seed: int) -> list[Chunk]:
    """Return the processes' shares, the longest kinds first."""
    found = []
    for kind, share in sorted(SHARES.items(), key=lambda one: one[1]):
        wanted = max(1, round(cases * share))
        count = ceil(wanted / CHUNK_CASES[kind])
        found += [Chunk(kind, seed * 1000 + number, ceil(wanted / count)) for number in range(count)]
    return found


def fuzz(cases: int, *, seed: int, scratch: Path) -> dict[str, Total]:
    totals = {kind: Total() for kind in SHARES}
    todo = chunks(cases, seed)
    # the first process compiles for all; numba's cache would be written by several at once
    totals[todo[0].kind].add(todo[0].run(scratch))
    with progress_bar() as bar, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as workers:
        shown = bar.add_task("latents", total=len(todo), completed=1)
        running = {workers.submit(chunk.run, scratch): chunk for chunk in todo[1:]}
        for done in as_completed(running):
            totals[running[done].kind].add(done.result())
            bar.advance(shown)
    return totals


def main() -> int:
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("--cases", type=int, default=1_000_000)
    read.add_argument("--seed", type=int, default=0)
    given = read.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        totals = fuzz(given.cases, seed=given.seed, scratch=Path(scratch))
    for kind, total in totals.items():
        print(f"{kind}: {'sound' if total.is_sound else 'NOT SOUND'}, {total.faults} faults, {vars(total)}")
    sound = all(total.is_sound for total in totals.values())
    print(json.dumps({"sound": sound, "cases": {kind: total.cases for kind, total in totals.items()}}))
    return int(not sound)


if __name__ == "__main__":
    sys.exit(main())
