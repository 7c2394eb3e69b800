"""Choose the optimizer: train with each for the same time, from the same weights and seed, and keep the better run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console

from models.training.options import OPTIMIZERS
from models.training.run import Run, copy_parameters, parameters_of
from models.training.schedule import FLAT

if TYPE_CHECKING:
    from torch import Tensor

    from models.training.options import TrainOptions
    from models.training.schedule import Timetable
    from models.training.steps import Task
    from models.training.stopwatch import Stopwatch


@dataclass(frozen=True)
class _Result:
    name: str
    run: Run
    parameters: list[Tensor]
    loss: float


def winner(task: Task, options: TrainOptions, *, timetable: Timetable, watch: Stopwatch) -> Run:
    """Train with each optimizer for `options.contest_s` seconds, and return the run with the lowest `fixed_loss`.

    They get equal time, not equal numbers of steps, because a step of Muon takes longer than one of AdamW.
    """
    start = parameters_of(task.model)
    results = []
    for name in OPTIMIZERS:
        copy_parameters(start, task.model)
        run = Run(task, replace(options.recipe, optimizer=name), seed=options.seed, device=options.device)
        _train(run, options.contest_s, timetable=timetable, watch=watch)
        results.append(_Result(name, run, parameters_of(task.model), run.fixed_loss()))
    best = min(results, key=lambda one: one.loss if math.isfinite(one.loss) else math.inf)
    for one in results:
        Console().print(f"{one.name}: loss {one.loss:.5f} on the fixed crops after {one.run.step} steps")
    Console().print(f"training continues with {best.name}")
    copy_parameters(best.parameters, task.model)
    return best.run


def _train(run: Run, seconds: float, *, timetable: Timetable, watch: Stopwatch) -> None:
    run.prepare([FLAT])
    until_s = watch.spent_s + seconds
    while watch.spent_s < until_s:
        loss = run.advance(FLAT, rate=timetable.rate(0, run.own_steps))
        if run.step % run.read_every == 0:
            float(loss)  # reading the loss waits until a GPU has computed the queued steps, so that their time counts
