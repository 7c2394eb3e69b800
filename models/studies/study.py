"""The command `latentedge study autoencoders`: train every autoencoder and every translator of a plan, and report.

A reading order for this package:

    design.py         the autoencoders, and the plan of a study
    three_kinds.py    their networks
    squares.py        photographs -> squares at every side
    fitting.py        the training loop: a fixed processor time
    kinds.py          train and score one autoencoder
    translators.py    the note's translator and its remedies; second_head.py: the design of this project
    remedies.py       train and score one way to the medium picture
    principal_blocks.py  a linear autoencoder without training, as a baseline
    negative_elbo.py  the loss of a VAE, and the codec's loss in the same unit
    results.py        the results of a study, on disk
    trainings.py      run the trainings that have no result yet, over some processes
    study.py          this file: all parts in order
    study_page.py     the report; study_prose.py, study_tables.py, study_plots.py and study_sheets.py: its parts

Each finished training is a file in the output folder. A second start runs the missing trainings, and writes the report
again.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from models.checkpoint import load_medium
from models.config import MEDIUM_PX
from models.cpu.kernels import Kernels
from models.medium_codec import MediumCodec
from models.studies.design import full_plan, quick_plan
from models.studies.negative_elbo import QUALITIES, codec_nats, stream_nats
from models.studies.principal_blocks import score_linear
from models.studies.remedies import Way
from models.studies.results import CodecPoint, Results, Settings
from models.studies.squares import prepare
from models.studies.study_page import write_report
from models.studies.trainings import Work, run_all

if TYPE_CHECKING:
    from models.studies.design import Plan

MINUTES = 60.0


@dataclass(frozen=True)
class StudyOptions:
    """The options of one study."""

    data: Path
    """A folder, a DIV2K tree or a pack of photographs."""
    output: Path
    minutes: float = MINUTES
    """The duration of all trainings together, on an idle machine with a core for each process."""
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
    """Run the missing trainings of a study, write its report, and return the path of the report.

    Raises `OtherStudyError` where the folder holds a study with other options, and `ReferencePictureError`.
    """
    plan = options.plan
    designs = plan.designs()
    settings = Results(options.output).begin(_settings(options, trainings=len(designs) + len(Way)))
    sides_px = sorted({one.size_px for one in designs})
    prepare(options.output / "pictures", data=options.data, valid=options.valid, sides_px=sides_px)
    work = Work(options.output, plan, tuple(sides_px), settings)
    largest_first = sorted(designs, key=lambda one: -one.size_px)  # their scoring takes the longest
    run_all(work, largest_first, options.processes, title="autoencoders")
    run_all(work, tuple(Way), options.processes, title="translators")
    _measure_linear(work)
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
    """Return the processor's name from Linux, or on other systems from the platform module."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _measure_linear(work: Work) -> None:
    """Measure the linear maps of equal code lengths, unless that has been done."""
    if not work.results.linear():
        work.results.add_linear(score_linear(work.plan.compared(), trained=work.trained(), scored=work.scored()))


def _measure_codec(work: Work) -> None:
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
