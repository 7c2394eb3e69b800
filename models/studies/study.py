"""The command `latentedge study autoencoders`: train every autoencoder and every translator of a plan, and report.

A reading order for this package:

    design.py         the autoencoders, and the plan of a study
    three_kinds.py    their networks
    squares.py        photographs -> squares at every side
    fitting.py        the training loop: a fixed processor time
    kinds.py          train and score one autoencoder
    translators.py    the note's translator and its remedies; second_head.py: this project's way
    remedies.py       train and score one way to the medium picture
    negative_elbo.py  the loss of a VAE, and the codec's loss in the same unit
    results.py        what a study has found, on disk
    study.py          this file: all trainings in order, over some processes
    study_page.py     the report; study_plots.py and study_sheets.py: its pictures

A finished training is a file in the output folder. A second start trains what is missing, and reports again.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.checkpoint import load_medium
from models.codec import MediumCodec
from models.config import MEDIUM_PX
from models.cpu.kernels import Kernels
from models.studies.design import Design, full_plan, quick_plan
from models.studies.fitting import Budget
from models.studies.kinds import score_kind, train_kind
from models.studies.negative_elbo import QUALITIES, codec_nats, stream_nats
from models.studies.remedies import Way, WayPictures, train_way
from models.studies.results import CodecPoint, Results, Settings
from models.studies.squares import Batches, prepare, scored_squares, shown_squares, trained_squares
from models.studies.study_page import write_report
from models.studies.three_kinds import build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from models.studies.design import Plan
    from models.studies.squares import Squares
    from models.studies.three_kinds import Autoencoder

MINUTES = 60.0
_MEASUREMENTS = 12
"""Points of each translator's curve after its start (assumed)."""
Job = Design | Way


@dataclass(frozen=True)
class StudyOptions:
    """The options of one study."""

    data: Path
    """A folder, a DIV2K tree or a pack of photographs."""
    output: Path
    minutes: float = MINUTES
    """Length of all trainings together on an idle machine that has a core for each process."""
    valid: Path | None = None
    """A folder of photographs to score on; None takes every 16th of `data` away from training."""
    quick: bool = False
    processes: int = 1
    seed: int = 0

    @property
    def plan(self) -> Plan:
        """Return the plan of the trainings."""
        return quick_plan() if self.quick else full_plan()


def study(options: StudyOptions) -> Path:
    """Run what is missing of a study, and return its report.

    Raises `OtherStudyError` where the folder holds a study with other options, and `ReferencePictureError`.
    """
    plan = options.plan
    designs = plan.designs()
    settings = Results(options.output).begin(_settings(options, trainings=len(designs) + len(Way)))
    sides_px = sorted({one.size_px for one in designs})
    prepare(options.output / "pictures", data=options.data, valid=options.valid, sides_px=sides_px)
    work = _Work(options.output, plan, tuple(sides_px), settings)
    largest_first = sorted(designs, key=lambda one: -one.size_px)  # their scoring takes the longest
    _run_all(work, largest_first, options.processes, title="autoencoders")
    _run_all(work, tuple(Way), options.processes, title="translators")
    _measure_codec(work)
    return write_report(options.output, plan, work.results)


def _settings(options: StudyOptions, *, trainings: int) -> Settings:
    return Settings(
        data=str(options.data.resolve()),
        valid=str(options.valid.resolve()) if options.valid else None,
        minutes=options.minutes,
        quick=options.quick,
        seed=options.seed,
        seconds_each=60 * options.minutes * options.processes / trainings,
        processor=_processor(),
    )


def _processor() -> str:
    """Return the processor's name as Linux tells it, or what the platform tells elsewhere."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@dataclass(frozen=True)
class _Work:
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
        return Batches(trained_squares(self.folder / "pictures", self.sides_px), seed=self.settings.seed)

    def load(self, design: Design) -> Autoencoder:
        """Return a trained autoencoder."""
        return self.results.load(design, most_parameters=self.plan.most_parameters)


def _run(work: _Work, job: Job) -> None:
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


def _run_all(work: _Work, jobs: Sequence[Job], processes: int, *, title: str) -> None:
    """Run the jobs that have no result yet, in this process or in several."""
    missing = [job for job in jobs if not work.results.has(_name(job))]
    with _bar() as bar:
        task = bar.add_task(title, total=len(jobs), completed=len(jobs) - len(missing))
        if processes == 1:
            for job in missing:
                _run(work, job)
                bar.advance(task)
            return
        for _done in _in_processes(work, missing, processes):
            bar.advance(task)


def _in_processes(work: _Work, jobs: Sequence[Job], processes: int) -> Iterator[Job]:
    """Run the jobs, and yield each when it has ended. A failure, or a stop of this process, stops all of them."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin_process)
    try:
        running = {pool.submit(_run, work, job): job for job in jobs}
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
    """Leave Ctrl-C to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _name(job: Job) -> str:
    return job.name if isinstance(job, Design) else f"way-{job.value}"


def _measure_codec(work: _Work) -> None:
    """Measure the released medium autoencoder on the scored squares, unless that has been done."""
    if work.results.codec():
        return
    torch.set_num_threads(1)
    pictures = work.scored().by_side[MEDIUM_PX]
    part, quality = load_medium(), work.plan.quality
    codec = MediumCodec(part, device="cpu", kernels=Kernels.choose("float32", device="cpu"))
    points = [CodecPoint(one, codec_nats(part, pictures, quality=one, weighed_as=quality), None) for one in QUALITIES]
    streams = stream_nats(codec, pictures, quality=quality)
    work.results.add_codec([replace(one, stream_nats=streams) if one.quality == quality else one for one in points])


def _bar() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
