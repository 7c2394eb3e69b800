"""Run the trainings of a study that have no result yet, in this process or in several.

A worker process imports this module but no module of the report, so that it starts quickly.
"""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.studies.design import Design
from models.studies.fitting import Budget
from models.studies.kinds import score_kind, train_kind
from models.studies.remedies import Way, WayPictures, train_way
from models.studies.results import Results, Settings
from models.studies.squares import Batches, Squares, scored_squares, shown_squares, trained_squares
from models.studies.three_kinds import build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from models.studies.design import Plan
    from models.studies.three_kinds import Autoencoder

_MEASUREMENTS = 12
"""The number of points in each translator's curve after its start (assumed)."""
Job = Design | Way


@dataclass(frozen=True)
class Work:
    """What a process needs to run any training of a study."""

    folder: Path
    plan: Plan
    sides_px: tuple[int, ...]
    settings: Settings

    @property
    def results(self) -> Results:
        return Results(self.folder)

    def pictures(self) -> WayPictures:
        return WayPictures(self.batches(), self.scored(), shown_squares(self.folder / "pictures", self.sides_px))

    def scored(self) -> Squares:
        return scored_squares(self.folder / "pictures", self.sides_px)

    def batches(self) -> Batches:
        return Batches(self.trained(), seed=self.settings.seed)

    def trained(self) -> Squares:
        return trained_squares(self.folder / "pictures", self.sides_px)

    def load(self, design: Design) -> Autoencoder:
        """Return a trained autoencoder."""
        return self.results.load(design, most_parameters=self.plan.most_parameters)


def run(work: Work, job: Job) -> None:
    """Run one training and write its result."""
    torch.set_num_threads(1)
    torch.manual_seed(work.settings.seed)
    budget = Budget(work.settings.seconds_each, _MEASUREMENTS)
    if isinstance(job, Way):
        figures, shown = train_way(job, work.plan, work.load, pictures=work.pictures(), budget=budget)
        work.results.add_way(figures, shown)
        return
    model = build(job, most_parameters=work.plan.most_parameters)
    trained = train_kind(job, model, work.batches(), budget=budget, quality=work.plan.quality)
    kind = score_kind(job, model, work.scored(), trained=trained, quality=work.plan.quality)
    work.results.add_kind(kind, model.state_dict())


def run_all(work: Work, jobs: Sequence[Job], processes: int, *, title: str) -> None:
    """Run the jobs that have no result yet, in this process or in several."""
    missing = [job for job in jobs if not work.results.has(name_of(job))]
    with _bar() as bar:
        task = bar.add_task(title, total=len(jobs), completed=len(jobs) - len(missing))
        if processes == 1:
            for job in missing:
                run(work, job)
                bar.advance(task)
            return
        for _done in _in_processes(work, missing, processes):
            bar.advance(task)


def _in_processes(work: Work, jobs: Sequence[Job], processes: int) -> Iterator[Job]:
    """Run the jobs, and yield each one when it ends. If one fails, or this process stops, all of them are stopped."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin_process)
    try:
        running = {pool.submit(run, work, job): job for job in jobs}
        for done in as_completed(running):
            done.result()
            yield running[done]
    except BaseException:
        for child in active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_process() -> None:
    """Ignore Ctrl-C, which the parent handles, and end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def name_of(job: Job) -> str:
    return job.name if isinstance(job, Design) else f"way-{job.value}"


def _bar() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
