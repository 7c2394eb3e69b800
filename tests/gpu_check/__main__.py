"""`make gpu-check`: everything that has to be run on a GPU, in three minutes of a machine that is lent.

    python -m tests.gpu_check --out DIR --device cuda --seconds 180
    python -m tests.gpu_check --out DIR --device cpu --quick         # a rehearsal on a processor
    python -m tests.gpu_check --out DIR --redraw                     # the plot and the last line once more

Each stage has a share of the time and a process of its own. Figures are printed and written into DIR as they come
(journal.py); the last line is JSON. The exit status is 1 if anything failed.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.gpu_check.budget import Clock, allotted_s
from tests.gpu_check.drawn import draw
from tests.gpu_check.journal import LOG, ROWS, Journal, read_rows
from tests.gpu_check.machine import described
from tests.gpu_check.plan import PLAN
from tests.gpu_check.run_stage import GRACE_S, Order, imported_s, run_stage
from tests.gpu_check.summary import Summary, summary

FIGURES = "figures.json"
PLOT_S = 6.0
"""Kept for the plot."""


def main() -> None:
    found = _arguments()
    found.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before anything imports torch
    if not found.redraw:
        with TemporaryDirectory() as scratch:  # a stage that is killed cannot tidy up behind itself
            os.environ["TMPDIR"] = scratch
            _measure(found.out, found)
    rows, kept = read_rows(found.out), _kept(found.out)
    draw(rows, found.out, title=str(kept["machine"]))
    print(json.dumps(kept))
    sys.exit(not kept["ok"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out") / "gpu_check")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=180.0, help="of the whole check")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does every stage run through?")
    parser.add_argument("--only", nargs="+", choices=[stage.name for stage in PLAN])
    parser.add_argument("--redraw", action="store_true", help="measure nothing")
    return parser.parse_args()


def _measure(folder: Path, found: argparse.Namespace) -> None:
    clock = Clock.of(found.seconds - PLOT_S)
    for name in (ROWS, LOG):
        (folder / name).unlink(missing_ok=True)
    journal = Journal(folder, "machine")
    journal.row("machine", **described(found.device), date=time.strftime("%Y-%m-%d"))
    journal.row("imports", seconds=imported_s())
    stages = [stage for stage in PLAN if not found.only or stage.name in found.only]
    for number, stage in enumerate(stages):
        later = [one.weight for one in stages[number + 1 :]]
        seconds = allotted_s(clock.left_s - GRACE_S, stage.weight, later=later)
        run_stage(stage, Order(stage.name, found.device, found.quick, folder), seconds=seconds)
        _kept(folder)


def _kept(folder: Path) -> Summary:
    """Write the summary of the rows so far, and return it."""
    rows = read_rows(folder)
    machine = next((row for row in rows if row["stage"] == "machine"), {})
    kept = {"machine": machine.get("name", "unknown"), **summary(rows)}
    (folder / FIGURES).write_text(json.dumps(kept, indent=1))
    return kept


if __name__ == "__main__":
    main()
