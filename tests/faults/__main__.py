"""Break real edges under a load that recognises every picture, and tell what clients saw: `make faults`.

    python -m tests.faults [--seconds N] [--only NAME ...] [--list]

Exit code 1: a picture was wrong or old, or another goal was missed. The last line is JSON. The soak runs only with
`--only soak`; its memory is no figure below `--seconds 900`.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from service.commands.progress import progress_bar
from tests.bench.figures import begun
from tests.faults import crowds, machine_faults, origin_faults, process_faults, soak, store_faults
from tests.faults.answers import Summary
from tests.faults.scenario import Scenario

ROOMS = (store_faults, process_faults, crowds, origin_faults, machine_faults)
TABLE_WIDTH = 120
TIMES = ("slowest, s", "no answer, s", "normal after, s")
COLUMNS = ("scenario", "200", "other", "resets", "timed out", *TIMES, "old, wrong")


def main() -> None:
    every = {one.name: one for room in (*ROOMS, soak) for one in room.SCENARIOS}
    usual = [one.name for room in ROOMS for one in room.SCENARIOS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="of each scenario; each has its own default")
    parser.add_argument("--only", nargs="+", choices=every, default=usual, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(f"{one.name:20} {one.about}" for one in every.values()))
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    run = begun()
    print(f"{run.machine}, {run.date}, load {run.load:.1f}")
    seen = _broken([every[name] for name in arguments.only], arguments.seconds)
    missed = {name: faults for name, one in seen.items() if (faults := one.missed(every[name].limits))}
    Console(width=TABLE_WIDTH).print(_table(seen))
    print(json.dumps({"machine": run.machine, "load": run.load, "seen": _plain(seen), "missed": missed}))
    sys.exit(1 if missed else 0)


def _broken(scenarios: Sequence[Scenario], seconds: float | None) -> dict[str, Summary]:
    seen: dict[str, Summary] = {}
    with progress_bar() as progress:
        task = progress.add_task("scenarios", total=len(scenarios))
        for one in scenarios:
            progress.update(task, description=one.name)
            seen[one.name] = asyncio.run(one.run(seconds or one.seconds))  # type: ignore[arg-type]
            print(_line(one, seen[one.name]), flush=True)
            progress.advance(task)
    return seen


def _line(scenario: Scenario, seen: Summary) -> str:
    if seen.skipped:
        return f"{scenario.name}: skipped, {seen.skipped}"
    words = [f"{count} with {status}" for status, count in seen.other_statuses.items()]
    words += [f"{count} {name}" for name, count in (("resets", seen.resets), ("refused", seen.refused)) if count]
    words += [f"{name} {value:g}" for name, value in seen.figures.items()]
    missed = seen.missed(scenario.limits)
    verdict = f" MISSED: {'; '.join(missed)}" if missed else ""
    return (
        f"{scenario.name}: {', '.join([f'{seen.ok} pictures', *words])}; {seen.timed_out} timed out, slowest "
        f"{seen.slowest_s:.1f} s, no answer for {seen.silent_s:.1f} s, normal after {seen.normal_after_s:.1f} s; "
        f"{seen.old} old, {seen.wrong} wrong{verdict}"
    )


def _table(seen: Mapping[str, Summary]) -> Table:
    table = Table(*COLUMNS, title="what clients saw")
    for name, one in seen.items():
        if one.skipped:
            table.add_row(name, "skipped:", one.skipped)
        else:
            times = [f"{value:.1f}" for value in (one.slowest_s, one.silent_s, one.normal_after_s)]
            counts = (one.ok, sum(one.other_statuses.values()), one.resets, one.timed_out)
            table.add_row(name, *map(str, counts), *times, f"{one.old}, {one.wrong}")
    return table


def _plain(seen: Mapping[str, Summary]) -> dict[str, object]:
    return {name: asdict(one) for name, one in seen.items()}


if __name__ == "__main__":
    main()
