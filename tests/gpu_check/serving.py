"""Whole HTTP responses a second with the hot tier off, by the number of HTTP processes: at saturation and at 70 %.

A real `latentedge serve --workers N` on the device, a real origin, an embedded Valkey; every response is a decode.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from service.demo.children import origin_server
from service.settings.edge_settings import table
from tests.bench import photographs
from tests.bench.edges import edge, picture_path
from tests.bench.servers import Server
from tests.gpu_check.edge_metrics import batch_sizes
from tests.gpu_check.load import START_S, Heard, Load, heard
from tests.gpu_check.task import Task
from tests.gpu_check.use_meter import metered

SIZES = ("172", "344")
SHARE, CALM = 0.7, "344"
"""The load below saturation, and the size that is asked for at it."""
CLIENTS_PER_WORKER = 48
WARM_S, WARM_MOST = 1.0, 5
STEADY = 1.15
"""The edge is warm when its rate grows by less than this from one second to the next."""
SECONDS, RAMP_S = 1.6, 0.3
BATCH_ITEMS = "64"
LOG_LINES = 40


@dataclass(frozen=True)
class Case:
    """One edge: its number of HTTP processes and the settings under which it is measured."""

    workers: int
    settings: Mapping[str, str]

    def __str__(self) -> str:
        names = (f"{name.removeprefix('EDGE_').lower()}={value}" for name, value in self.settings.items())
        return f"{self.workers} workers, {', '.join(names)}"


def run(task: Task) -> None:
    """Measure one edge after the other, as long as there is time for another."""
    with TemporaryDirectory() as scratch, _pictures(Path(scratch)) as (origin_url, names):
        longest_s = 0.0
        for case in cases(task):
            if task.clock.left_s < longest_s:
                task.journal.row("left out", case=str(case), left_s=task.clock.left_s)
                continue
            began_s = time.monotonic()
            with task.journal.tried(str(case)), started(task, case, origin_url, names, Path(scratch)) as server:
                _measure(task, case, server, names)
            longest_s = max(longest_s, time.monotonic() - began_s)


def cases(task: Task) -> list[Case]:
    """Return the edges to measure: the simplest one tells whether any starts, the others come in order of worth."""
    light, better = {"EDGE_HEAD": "cpu"}, {"EDGE_HEAD": "gpu"}
    found = [Case(workers, light) for workers in task.choose((1, 8, 4), (1, 2))] + [Case(task.choose(8, 1), better)]
    if any(row.name == "EDGE_DECODER" for row in table()):  # is by default a process of its own where there is a GPU
        found.append(Case(task.choose(8, 1), {**light, "EDGE_DECODER": "thread"}))
    return [*found, Case(2, light)] if not task.quick else found


@contextmanager
def started(task: Task, case: Case, origin_url: str, names: Sequence[str], scratch: Path) -> Iterator[Server]:
    """Run an edge that holds all pictures; what it logged goes into the log of the check."""
    settings = {"EDGE_DEVICE": task.device, "EDGE_BATCH_ITEMS": BATCH_ITEMS, **case.settings}
    try:
        with edge(origin_url, names, scratch=scratch, workers=case.workers, **settings) as server:
            yield server
    finally:
        for log in scratch.glob("edge-*.log"):
            said = log.read_text(errors="replace").splitlines()
            task.journal.log("\n".join([f"{case}: the edge's log", *said[-LOG_LINES:]]))
            log.unlink()


@contextmanager
def _pictures(scratch: Path) -> Iterator[tuple[str, list[str]]]:
    names = [file.name for file in photographs.written(scratch / "photographs")]
    with origin_server(scratch / "photographs", log=scratch / "origin.log") as origin:
        yield origin.url, names


def _measure(task: Task, case: Case, server: Server, names: Sequence[str]) -> None:
    load = Load(
        port=server.port,
        paths=[picture_path(name, size) for name in names for size in SIZES],
        connections=CLIENTS_PER_WORKER * case.workers if not task.quick else 4,
        ramp_s=task.choose(RAMP_S, 0.1),
        seconds=WARM_S,
    )
    warm(load)
    for size in SIZES:
        of_size = replace(load, paths=[picture_path(name, size) for name in names], seconds=task.choose(SECONDS, 1.0))
        with task.journal.tried(f"{case}, {size} px"):
            found = _row(task, case, server, of_size, f"saturated {size}")
            if size == CALM:
                calm = replace(of_size, per_s=max(1.0, SHARE * found.per_s))
                _row(task, case, server, calm, f"at 70 % {size}")
    with task.journal.tried(f"{case}, batches"):
        task.journal.row("batches", workers=case.workers, **case.settings, mean_items=batch_sizes(server))


def warm(load: Load) -> None:
    """Ask until the rate grows no more: workers start one after the other, and first batches compile."""
    last = 0.0
    for _ in range(WARM_MOST):
        found = heard(load, processes=_processes())
        if found.per_s and found.per_s < STEADY * last:
            return
        last = found.per_s


def _row(task: Task, case: Case, server: Server, load: Load, what: str) -> Heard:
    with metered(server.pid, after_s=START_S + load.ramp_s) as use:
        found = heard(load, processes=_processes())
    task.journal.row(
        what,
        workers=case.workers,
        **case.settings,
        per_s=found.per_s,
        asked_per_s=load.per_s or None,
        p50_ms=found.percentile_ms(50),
        p99_ms=found.percentile_ms(99),
        statuses=found.statuses,
        stages_ms=found.stages_ms,
        client_busy=found.busy,
        **use.row(),
    )
    return found


def _processes() -> int:
    return min(4, max(1, (os.cpu_count() or 1) // 4))
