"""`latentedge train`: resumable training within a time budget.

Stages: `medium` trains its autoencoder, `high` the other one and all that reads its latent, each from a closed-form
linear start; `heads` trains the light heads further on frozen latents; `release` makes the weights file; `all` does all
but `heads`. A stage writes into its folder of the run: state.pt (to resume; it holds the averaged weights too),
log.jsonl (rate-distortion on the validation pictures as it goes) and curve.png.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from models.autoencoder import MediumAutoencoder
from models.config import MEDIUM_PX
from models.training.curves import plot_gap
from models.training.dataset import PhotographSet
from models.training.heads import HeadsTask
from models.training.joint import JointTask
from models.training.linear_start import start_linear
from models.training.loop import Task, run_stage
from models.training.losses import codec_loss, linear_groups
from models.training.options import SHARES, STAGES, TrainOptions, batch_of
from models.training.release import release
from models.training.validation import Watch
from models.training.warm_start import warm_start

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["STAGES", "TrainOptions", "train"]


class MediumTask:
    """Stage `medium`: the autoencoder of 172 px alone, rate and distortion."""

    validate_every_s = 600.0

    def __init__(self, photographs: PhotographSet, options: TrainOptions) -> None:
        """Starts from the closed-form linear transform."""
        self._networks = MediumAutoencoder(options.architecture).to(options.device)
        self.model: nn.Module = self._networks
        self._photographs, self._options = photographs, options
        start_linear(self._networks, photographs, seed=options.seed)
        self._watch = Watch(options, size_px=MEDIUM_PX) if options.valid else None

    def loss(self, generator: torch.Generator | None, *, whole_pictures: bool) -> Tensor:
        """Rate-distortion loss of a batch of the halves of crops, or of whole pictures in the last part."""
        size_px, batch = batch_of(self._options, whole_pictures=whole_pictures)
        crops = self._photographs.crops(2 * batch, size_px=size_px, generator=generator)
        x = crops.half.contiguous(memory_format=torch.channels_last)
        options = self._options
        return codec_loss(
            self._networks,
            x,
            self._photographs.qualities(len(x), generator),
            half_precision=options.half_precision,
            perceptual=options.perceptual,
        )

    def groups(self, rate: float) -> list[dict[str, object]]:
        """All parameters, the linear paths slower."""
        return linear_groups(self.model, rate)

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Rate-distortion against JPEG on the validation pictures, and on as many that are trained on."""
        return self._watch.score(averaged) if self._watch else {}  # type: ignore[arg-type]


def train(options: TrainOptions) -> None:
    """Run the stages that `options.stage` names, in `options.output` (or going on in `options.resume`)."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    if options.device.startswith("cuda"):
        # no TF32: the blur of SSIMULACRA2 tells nearly flat places apart, and its gradient would be a third off
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.benchmark = True
    folder = options.resume or options.output
    photographs = PhotographSet(options.data, limit=options.limit, device=options.device)
    for stage in SHARES if options.stage == "all" else (options.stage,):
        if stage != "release":
            share = SHARES[stage] if options.stage == "all" else 1.0
            task = _task(stage, photographs, options, folder)
            if options.start is not None:
                warm_start(task.model, options.start)
            run_stage(task, folder / stage, minutes=share * options.minutes, options=options)
        if stage == "heads" and options.valid is not None:
            plot_gap(folder / stage / "log.jsonl", folder / stage / "gap.png")
    if options.stage in {"all", "release"}:
        _release(folder, photographs, options)


def _release(folder: Path, photographs: PhotographSet, options: TrainOptions) -> None:
    logs = {stage: folder / stage / "log.jsonl" for stage in STAGES}
    minutes = {stage: _last(log)["minutes"] for stage, log in logs.items() if log.exists()}
    trained = ", ".join(f"{stage} {spent:.0f} min" for stage, spent in minutes.items())
    notes = release(
        folder,
        folder / "latentedge.safetensors",
        photographs=photographs,
        options=options,
        trained=f"{trained} on {options.device}, {photographs.files} photographs",
    )
    Console().print(notes)


def _last(log: Path) -> dict[str, float]:
    line: dict[str, float] = json.loads(log.read_text().splitlines()[-1])
    return line


def _task(stage: str, photographs: PhotographSet, options: TrainOptions, folder: Path) -> Task:
    if stage == "medium":
        return MediumTask(photographs, options)
    if stage == "high":
        return JointTask(photographs, options)
    return HeadsTask(photographs, options, folder)
