"""Every benchmark, one after the other, then one table, the plots and, if asked, a section of the docs: `make bench`.

Each script is a process of its own whose last line is JSON; one that fails is told and leaves the others alone.
`--write-docs` puts the figures into docs/operations.md and the plot beside RESULTS.md; `--again SCRIPT ...` measures
only these and keeps the rest of the last run; `--tables-only` measures nothing.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import capacity, plots
from tests.bench.figures import FIGURES, OUT, SIZES, Figures, begun
from tests.bench.goals import goals

# In the order of what they are asked for; seconds that each may take, ten minutes together.
SCRIPTS = {
    "hit_cost": 100,
    "rivals": 200,
    "open_loop": 110,
    "workers": 70,
    "first_requests": 70,
    "admin_latency": 50,
}
SHORT = {"admin_latency": ("--own-port-only",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", nargs="+", choices=SCRIPTS, metavar="SCRIPT")
    parser.add_argument("--tables-only", action="store_true")
    parser.add_argument("--write-docs", action="store_true")
    arguments = parser.parse_args()
    figures = Figures.saved() if arguments.again or arguments.tables_only else begun()
    console = Console()
    if not arguments.tables_only:
        figures = _measured(figures, arguments.again or list(SCRIPTS), console)
        figures.save()
    _tell(figures, console)
    plots.draw(figures, OUT)
    if arguments.write_docs and "rivals" in figures.by_script:
        capacity.write_docs(figures)
    console.print(f"plots and figures: {FIGURES.parent}")
    print(json.dumps({one.what + f" <= {one.at_most_ms}": round(one.measured_ms, 3) for one in goals(figures)}))
    if missing := SCRIPTS.keys() - figures.by_script.keys():
        sys.exit(f"without figures: {', '.join(sorted(missing))}")


def _measured(figures: Figures, names: Sequence[str], console: Console) -> Figures:
    found: dict[str, Any] = dict(figures.by_script)
    for name in names:
        console.rule(name)
        started_s = time.monotonic()
        result = _run(name)
        console.print(f"{name}: {time.monotonic() - started_s:.0f} s")
        if result is not None:
            found[name] = result
    return replace(figures, by_script=found)


def _run(name: str) -> Any:  # noqa: ANN401  (what a script says)
    command = (sys.executable, "-m", f"tests.bench.{name}", *SHORT.get(name, ()))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as script:
        try:
            said, _ = script.communicate(timeout=SCRIPTS[name])
        except subprocess.TimeoutExpired:
            script.terminate()  # it ends its servers first
            print(f"{name}: not done within {SCRIPTS[name]} s")
            return None
    *lines, last = said.splitlines() or [""]
    print("\n".join(lines))
    if script.returncode:
        print(f"{name}: exit code {script.returncode}")
        return None
    return json.loads(last)


def _tell(figures: Figures, console: Console) -> None:
    console.rule(f"{figures.machine}, {figures.date}, load at the start {figures.load:.1f}")
    if "hit_cost" in figures.by_script:
        console.print("kernels:", figures.by_script["hit_cost"].get("kernels", "not told by that run"))
        console.print(_goals_table(figures))
    if "rivals" in figures.by_script:
        console.print(_rivals_table(figures.by_script["rivals"]))


def _goals_table(figures: Figures) -> Table:
    table = Table("goal", "at most, ms", "measured, ms", "how far", title="processor time of a hit, whole edge")
    for one in goals(figures):
        table.add_row(one.what, f"{one.at_most_ms:.1f}", f"{one.measured_ms:.2f}", one.distance)
    return table


def _rivals_table(rivals: Any) -> Table:  # noqa: ANN401  (what the script says)
    table = Table("server", *(f"{size}, ms" for size in SIZES), *(f"edge / it, {size}" for size in SIZES))
    for name, row in rivals["cpu_ms"].items():
        ratios = rivals["edge_over_rival"].get(name, {})
        cells = [f"{row[size]['cpu_ms']:.2f}" for size in SIZES]
        table.add_row(name, *cells, *(f"{ratios[size]:.2f}x" if ratios else "" for size in SIZES))
    for name, why in rivals["missing"].items():
        table.add_row(name, "missing:", why)
    return table


if __name__ == "__main__":
    main()
