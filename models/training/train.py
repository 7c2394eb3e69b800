"""The command `latentedge train`: resumable training within a time budget.

A reading order for this package:

    options.py      all settings with their defaults
    train.py        this file: which stages run, and the simplest stage, `MediumTask`
    joint.py        stage `high`: the networks and the loss of the released weights (heads_stage.py: stage `heads`)
    dataset.py      photographs -> batches of crops
    losses.py       a batch -> rate + lambda * distortion
    steps.py        one step: loss, gradients, update (eager on a CPU, a CUDA graph on a GPU)
    run.py          a model with its optimizers and its averaged weights
    schedule.py     time spent -> phase and learning rate
    stage_loop.py   the training loop: steps until the time is up; writes weights (kept.py), log and plots
    release.py      averaged weights -> the weights file

Each module imports only modules above it in the import graph: train -> stage_loop -> run -> steps.

Stages: `medium` trains the medium autoencoder. `high` trains the high autoencoder together with every head and encoder
of its latent. Both are initialised in closed form as a linear transform. `heads` trains the light heads further on
latents of the frozen encoder. `release` makes the weights file. `upscaler` and then `adversarial` train the
upscaler of demoted pictures for a finished weights file. `all` runs the stages `medium`, `high` and `release`.

Each stage writes into its own folder of the run: flat and averaged weights, `state.pt` until the stage is complete,
`log.jsonl` (losses, and rate-distortion on the validation pictures) and `curve.png`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from models.autoencoder import MediumAutoencoder
from models.config import MEDIUM_PX
from models.training.curves import plot_gap
from models.training.dataset import PhotographSet
from models.training.heads_stage import HeadsTask
from models.training.joint import JointTask
from models.training.kept import FLAT
from models.training.linear_start import start_linear
from models.training.losses import codec_loss
from models.training.options import SHARES, STAGES, UPSCALER_STAGES, TrainOptions
from models.training.release import release
from models.training.stage_loop import Stage, run_stage
from models.training.stopwatch import Stopwatch
from models.training.training_log import LOG, lines_of
from models.training.upscaler_stage import train_upscaler
from models.training.validation import Watch
from models.training.warm_start import warm_start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.training.schedule import Phase
    from models.training.stopwatch import Clock

__all__ = ["STAGES", "TrainOptions", "train"]


class MediumTask:
    """Stage `medium` for the training loop: the medium autoencoder (172 px), its loss and its validation."""

    def __init__(self, photographs: PhotographSet, options: TrainOptions) -> None:
        """Build the autoencoder, initialised in closed form unless `options.flat` names weights to continue from."""
        self.validate_every_s = options.recipe.validate_every_s
        self._networks = MediumAutoencoder(options.architecture).to(options.device)
        self.model: nn.Module = self._networks
        self._photographs, self._options = photographs, options
        if options.flat is None:
            start_linear(self._networks, photographs, seed=options.seed)
        self._watch = Watch(options, size_px=MEDIUM_PX) if options.valid else None

    def loss(self, generator: torch.Generator | None, *, phase: Phase) -> Tensor:
        """Return the rate-distortion loss on a random batch of the phase, of crops or pictures of half the side."""
        options = self._options
        recipe = replace(options.recipe, batch=2 * options.recipe.batch)  # crops of half the side cost a quarter
        crops, quality = self._photographs.batch(recipe, phase, generator)
        x = crops.half.contiguous(memory_format=torch.channels_last)
        return codec_loss(self._networks, x, quality, half_precision=options.half_precision, phase=phase)

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Return the figures of `Watch` for the averaged weights, or {} without validation pictures."""
        return self._watch.score(averaged) if self._watch else {}  # type: ignore[arg-type]


def train(options: TrainOptions, *, clock: Clock | None = None) -> None:
    """Run the stage `options.stage`, or all stages, in the folder `options.resume` or else `options.output`."""
    watch = Stopwatch(clock)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    if options.device.startswith("cuda"):
        # TF32 is turned off because SSIMULACRA2's variances subtract nearly equal blurred values: with TF32 its
        # gradient is wrong by a third.
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.benchmark = True
    folder = options.resume or options.output
    if options.stage in UPSCALER_STAGES:
        train_upscaler(_continue_from(options, folder / options.stage), folder, watch)
        return
    photographs = PhotographSet(options.data, limit=options.limit, device=options.device)
    for stage in SHARES if options.stage == "all" else (options.stage,):
        if stage != "release":
            share = SHARES[stage] if options.stage == "all" else 1.0
            goes_on = _continue_from(options, folder / stage)
            task = _task(stage, photographs, goes_on, folder)
            if options.start is not None:
                warm_start(task.model, options.start)
            run_stage(task, folder / stage, budget_s=60 * share * options.minutes, options=goes_on, watch=watch)
            watch = Stopwatch(clock)
        if stage == "heads" and options.valid is not None:
            plot_gap(folder / stage / LOG, folder / stage / "gap.png")
    if options.stage in {"all", "release"}:
        _release(folder, photographs, options)


def _continue_from(options: TrainOptions, folder: Path) -> TrainOptions:
    """Return the options with `flat` set to `folder` if an earlier run has left weights of the flat part there."""
    return replace(options, flat=folder) if (folder / FLAT).exists() else options


def _release(folder: Path, photographs: PhotographSet, options: TrainOptions) -> None:
    logs = {stage: folder / stage / LOG for stage in STAGES}
    trained = ", ".join(
        f"{stage} {lines_of(log)[-1]['minutes']:.0f} min" for stage, log in logs.items() if log.exists()
    )
    notes = release(
        folder,
        folder / "latentedge.safetensors",
        photographs=photographs,
        options=options,
        trained=f"{trained} on {options.device}, {photographs.files} photographs",
    )
    Console().print(notes)


def _task(stage: str, photographs: PhotographSet, options: TrainOptions, folder: Path) -> Stage:
    if stage == "medium":
        return MediumTask(photographs, options)
    if stage == "high":
        return JointTask(photographs, options)
    return HeadsTask(photographs, options, folder)
