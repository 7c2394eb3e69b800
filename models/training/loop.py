"""The training loop of one stage: a time budget, averaged weights, a state that can be resumed, a log and a plot."""

from __future__ import annotations

import json
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

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.training.options import TrainOptions

_CLIP = 1.0
_SAVE_EVERY_S = 120.0
_LONGEST_AVERAGE = 0.998


class Task(Protocol):
    """One stage as the loop sees it."""

    model: nn.Module
    validate_every_s: float

    def loss(self, moment: Moment, generator: torch.Generator) -> Tensor:
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
    step: int = 0
    spent_s: float = 0.0


def run_stage(task: Task, folder: Path, *, minutes: float, options: TrainOptions) -> None:
    """Spend `minutes` on one stage, or what is left of them when its folder holds an unfinished state."""
    folder.mkdir(parents=True, exist_ok=True)
    run = _start(task, options)
    budget_s = minutes * 60
    _resume(run, task, folder, budget_s)
    generator = torch.Generator().manual_seed(options.seed + run.step)
    base = [group["lr"] for group in run.optimizer.param_groups]
    if run.step == 0:
        _record(task, run, folder)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[figures]}")
    ) as bar:
        shown = bar.add_task(folder.name, total=budget_s, figures="")
        saved_s, scored_s, before = run.spent_s, run.spent_s, time.monotonic()
        while not (moment := Moment(run.spent_s, budget_s, run.step)).over:
            for group, rate in zip(run.optimizer.param_groups, base, strict=True):
                group["lr"] = rate * moment.rate()
            value = _step(task, run, moment, generator)
            now = time.monotonic()
            run.spent_s, before, run.step = run.spent_s + now - before, now, run.step + 1
            bar.update(shown, completed=run.spent_s, figures=f"step {run.step} loss {value:.3f}")
            if run.spent_s - saved_s > _SAVE_EVERY_S:
                saved_s = run.spent_s
                _save(run, task, folder, base)
            if run.spent_s - scored_s > task.validate_every_s:
                scored_s = run.spent_s
                _record(task, run, folder, loss=value)
                before = time.monotonic()  # validation is not charged to the budget
    _save(run, task, folder, base)
    _record(task, run, folder)
    plot_training(folder / "log.jsonl", folder / "curve.png")


def _start(task: Task, options: TrainOptions) -> _Run:
    optimizer = torch.optim.AdamW(task.groups(options.rate), betas=(0.9, 0.98), weight_decay=0.0)
    return _Run(AveragedModel(task.model, use_buffers=False), optimizer)


def _step(task: Task, run: _Run, moment: Moment, generator: torch.Generator) -> float:
    loss = task.loss(moment, generator)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
    torch.nn.utils.clip_grad_norm_(task.model.parameters(), _CLIP)
    run.optimizer.step()
    _average(run.averaged.module, task.model, decay=moment.average_decay(_LONGEST_AVERAGE))
    return float(loss.detach())


@torch.no_grad()
def _average(averaged: nn.Module, model: nn.Module, *, decay: float) -> None:
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - decay)


def _save(run: _Run, task: Task, folder: Path, base: list[float]) -> None:
    state = {
        "model": task.model.state_dict(),
        "averaged": run.averaged.module.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "step": run.step,
        "spent_s": run.spent_s,
        "base": base,
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
    for group, rate in zip(run.optimizer.param_groups, state["base"], strict=True):
        group["lr"] = rate
    run.step, run.spent_s = state["step"], state["spent_s"]


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
