"""The training loop of one stage: a time budget, averaged weights, a state that can be resumed, a log and a plot."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.optim.swa_utils import AveragedModel

from models.training.curves import plot_training
from models.training.schedule import Moment
from models.training.steps import optimizer_of, stepper

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.training.options import TrainOptions

_SAVE_EVERY_S = 120.0
_LONGEST_AVERAGE = 0.999


class DivergedError(Exception):
    """The training lost itself before there was anything to go back to."""


class Task(Protocol):
    """One stage as the loop sees it."""

    model: nn.Module
    validate_every_s: float

    def loss(self, generator: torch.Generator | None, *, whole_pictures: bool) -> Tensor:
        """Loss of one fresh batch."""

    def groups(self, rate: float) -> list[dict[str, object]]:
        """Parameter groups with their learning rates."""

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Figures on the validation pictures."""


@dataclass
class _Run:
    """The loop's own state: what is saved and what a resumed run continues from."""

    averaged: AveragedModel
    optimizer: torch.optim.Optimizer
    base: list[float]
    """Learning rates of the groups before the schedule."""
    step: int = 0
    spent_s: float = 0.0


def run_stage(task: Task, folder: Path, *, minutes: float, options: TrainOptions) -> None:
    """Spend `minutes` on one stage, or what is left of them when its folder holds an unfinished state."""
    folder.mkdir(parents=True, exist_ok=True)
    run = _start(task, options)
    budget_s = minutes * 60
    _resume(run, task, folder, budget_s)
    steps = stepper(task, run.optimizer, seed=options.seed + run.step, device=options.device)
    if run.step == 0:
        _record(task, run, folder)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[figures]}")
    ) as bar:
        shown = bar.add_task(folder.name, total=budget_s, figures="")
        saved_s, scored_s, before = run.spent_s, run.spent_s, time.monotonic()
        while not (moment := Moment(run.spent_s, budget_s, run.step)).over:
            steps.set_rates([rate * moment.rate() for rate in run.base])
            loss = steps.step(whole_pictures=moment.whole_pictures)
            _average(run.averaged.module, task.model, decay=moment.average_decay(_LONGEST_AVERAGE))
            if run.step % steps.read_every == 0:
                value = float(loss)  # waits for the device: what is spent is known again
                if not math.isfinite(value):
                    _go_back(run, task, folder)
                    steps = stepper(task, run.optimizer, seed=options.seed + run.step, device=options.device)
                    continue
                bar.update(shown, completed=run.spent_s, figures=f"step {run.step} loss {value:.3f}")
            now = time.monotonic()
            run.spent_s, before, run.step = run.spent_s + now - before, now, run.step + 1
            if run.spent_s - saved_s > _SAVE_EVERY_S and math.isfinite(float(loss)):
                saved_s = run.spent_s
                _save(run, task, folder)
            if run.spent_s - scored_s > task.validate_every_s:
                scored_s = run.spent_s
                _record(task, run, folder, loss=float(loss))
                before = time.monotonic()  # validation is not charged to the budget
    _save(run, task, folder)
    _record(task, run, folder)
    plot_training(folder / "log.jsonl", folder / "curve.png")


def _start(task: Task, options: TrainOptions) -> _Run:
    optimizer = optimizer_of(task.groups(options.rate), device=options.device)
    base = [float(group["lr"]) for group in optimizer.param_groups]
    return _Run(AveragedModel(task.model, use_buffers=False), optimizer, base)


def _go_back(run: _Run, task: Task, folder: Path) -> None:
    """After a loss that is no number: the last state that was saved, at half the rate."""
    if not (folder / "state.pt").exists():
        raise DivergedError(f"the loss is no number at step {run.step}, before anything was saved")
    spent_s = run.spent_s
    _resume(run, task, folder, float("inf"))
    run.base, run.spent_s = [rate / 2 for rate in run.base], spent_s
    Console().print(f"the loss was no number: back to step {run.step}, at half the rate")


@torch.no_grad()
def _average(averaged: nn.Module, model: nn.Module, *, decay: float) -> None:
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - decay)


def _save(run: _Run, task: Task, folder: Path) -> None:
    state = {
        "model": task.model.state_dict(),
        "averaged": run.averaged.module.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "step": run.step,
        "spent_s": run.spent_s,
        "base": run.base,
    }
    fresh = folder / "state.new"
    torch.save(state, fresh)
    fresh.replace(folder / "state.pt")


def _resume(run: _Run, task: Task, folder: Path, budget_s: float) -> None:
    """Go on from the folder's state: within its budget, or (when that was used up) from its averaged weights afresh."""
    path = folder / "state.pt"
    if not path.exists():
        return
    state = torch.load(path, weights_only=True)
    run.averaged.module.load_state_dict(state["averaged"])
    if state["spent_s"] >= budget_s - 1:
        task.model.load_state_dict(state["averaged"])
        return
    task.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.base, run.step, run.spent_s = state["base"], state["step"], state["spent_s"]


def _record(task: Task, run: _Run, folder: Path, *, loss: float | None = None) -> None:
    """One line of log.jsonl: figures of the averaged weights on the validation pictures."""
    figures = task.score(run.averaged.module)
    line = {"step": run.step, "minutes": round(run.spent_s / 60, 2), "loss": loss, **figures}
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    Console().print(
        " ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in line.items()
        )
    )
