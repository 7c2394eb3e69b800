"""`latentedge train`: resumable training within a time budget.

Stages: `medium` and `high` train one autoencoder each from its closed-form linear start; `translator` joins the two
with the high autoencoder frozen; `all` runs the three. A stage writes into its folder of the run: state.pt (to resume;
it holds the averaged weights too), log.jsonl (rate-distortion on the validation pictures as it goes) and curve.png.
"""

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

from models.autoencoder import HighAutoencoder, MediumAutoencoder
from models.training.curves import plot_training
from models.training.dataset import PhotographSet
from models.training.linear_start import start_linear
from models.training.losses import codec_loss
from models.training.schedule import Moment
from models.training.validation import CodecValidation

if TYPE_CHECKING:
    from torch import Tensor, nn

_CROP_PX = 256
_BATCH = 8
_WHOLE_BATCH = 4
_CLIP = 1.0
_SAVE_EVERY_S = 120.0
_VALIDATE_EVERY_S = 600.0
_LONGEST_AVERAGE = 0.998
STAGES = ("medium", "high", "translator")


@dataclass(frozen=True)
class TrainOptions:
    """What `latentedge train` is asked for."""

    data: list[Path]
    valid: Path | None
    minutes: float
    output: Path
    resume: Path | None = None
    stage: str = "all"
    threads: int = 2
    seed: int = 0
    device: str = "cpu"
    half_precision: bool = True
    rate: float = 1e-3
    limit: int | None = None


class Task(Protocol):
    """One stage as the loop sees it."""

    model: nn.Module

    def loss(self, moment: Moment, generator: torch.Generator) -> Tensor:
        """Loss of one fresh batch."""

    def groups(self, rate: float) -> list[dict[str, object]]:
        """Parameter groups with their learning rates."""

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Figures on the validation pictures."""


def linear_groups(model: nn.Module, rate: float) -> list[dict[str, object]]:
    """A tenth of the learning rate for the linear paths: the full rate destroys the linear start (see LOG.md)."""
    linear = [parameter for name, parameter in model.named_parameters() if "linear" in name]
    rest = [parameter for name, parameter in model.named_parameters() if "linear" not in name]
    return [{"params": linear, "lr": 0.1 * rate}, {"params": rest, "lr": rate}]


class CodecTask:
    """Stage `medium` or `high`: one autoencoder, rate and distortion."""

    def __init__(
        self, model: HighAutoencoder | MediumAutoencoder, photographs: PhotographSet, options: TrainOptions
    ) -> None:
        """Starts from the closed-form linear transform."""
        self.model: nn.Module = model
        self._networks = model
        self._photographs, self._options = photographs, options
        self._halves = isinstance(model, MediumAutoencoder)
        start_linear(model, photographs, seed=options.seed)
        self._validation = CodecValidation(options.valid, size_px=model.config.size_px) if options.valid else None

    def loss(self, moment: Moment, generator: torch.Generator) -> Tensor:
        """Rate-distortion loss of a batch of crops, or of whole pictures in the last part."""
        size_px, batch = (344, _WHOLE_BATCH) if moment.whole_pictures else (_CROP_PX, _BATCH)
        crops = self._photographs.crops(batch * (2 if self._halves else 1), size_px=size_px, generator=generator)
        x = crops.half if self._halves else crops.pixels
        quality = torch.randint(0, 64, (len(x),), generator=generator).to(x.device)
        x = x.contiguous(memory_format=torch.channels_last)
        return codec_loss(self._networks, x, quality, half_precision=self._options.half_precision)

    def groups(self, rate: float) -> list[dict[str, object]]:
        """All parameters, the linear paths slower."""
        return linear_groups(self.model, rate)

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Rate-distortion against JPEG on the validation pictures."""
        return self._validation.score(averaged) if self._validation else {}  # type: ignore[arg-type]


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
            if run.spent_s - scored_s > _VALIDATE_EVERY_S:
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


def load_averaged(model: nn.Module, folder: Path) -> None:
    """Fill a model with the averaged weights of a stage's folder."""
    model.load_state_dict(torch.load(folder / "state.pt", weights_only=True)["averaged"])


def train(options: TrainOptions) -> None:
    """Run the stages that `options.stage` names, in `options.output` (or going on in `options.resume`)."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    folder = options.resume or options.output
    photographs = PhotographSet(options.data, limit=options.limit, device=options.device)
    shares = {"medium": 0.15, "high": 0.65, "translator": 0.20} if options.stage == "all" else {options.stage: 1.0}
    for stage, share in shares.items():
        task = _task(stage, photographs, options, folder)
        run_stage(task, folder / stage, minutes=share * options.minutes, options=options)


def _task(stage: str, photographs: PhotographSet, options: TrainOptions, folder: Path) -> Task:
    if stage == "medium":
        return CodecTask(MediumAutoencoder().to(options.device), photographs, options)
    if stage == "high":
        return CodecTask(HighAutoencoder().to(options.device), photographs, options)
    from models.training.translation import TranslatorTask  # translation imports TrainOptions from here

    return TranslatorTask(photographs, options, folder)
