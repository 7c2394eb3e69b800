"""`latentedge train`: resumable training within a time budget.

Stages: `medium` and `high` train one autoencoder each from its closed-form linear start; `heads` trains what else
reads the frozen high latent, the processor's head and the translator; `release` makes the
weights file of the three; `all` does all four. A stage writes into its folder of the run: state.pt (to resume; it holds
the averaged weights too), log.jsonl (rate-distortion on the validation pictures as it goes) and curve.png.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from models.autoencoder import HighAutoencoder, MediumAutoencoder
from models.training.curves import plot_gap
from models.training.dataset import PhotographSet
from models.training.heads import HeadsTask
from models.training.linear_start import start_linear
from models.training.loop import Task, run_stage
from models.training.losses import codec_loss, linear_groups
from models.training.options import SHARES, STAGES, TrainOptions, batch_of
from models.training.release import release
from models.training.validation import Watch
from models.training.warm_start import warm_start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.training.schedule import Moment

__all__ = ["STAGES", "TrainOptions", "train"]


class CodecTask:
    """Stage `medium` or `high`: one autoencoder, rate and distortion."""

    validate_every_s = 600.0

    def __init__(
        self, model: HighAutoencoder | MediumAutoencoder, photographs: PhotographSet, options: TrainOptions
    ) -> None:
        """Starts from the closed-form linear transform."""
        self.model: nn.Module = model
        self._networks = model
        self._photographs, self._options = photographs, options
        self._halves = isinstance(model, MediumAutoencoder)
        start_linear(model, photographs, seed=options.seed)
        self._watch = Watch(options, size_px=model.config.size_px) if options.valid else None

    def loss(self, moment: Moment, generator: torch.Generator) -> Tensor:
        """Rate-distortion loss of a batch of crops, or of whole pictures in the last part."""
        size_px, batch = batch_of(moment, self._options)
        crops = self._photographs.crops(batch * (2 if self._halves else 1), size_px=size_px, generator=generator)
        x = crops.half if self._halves else crops.pixels
        quality = torch.randint(0, 64, (len(x),), generator=generator).to(x.device)
        x = x.contiguous(memory_format=torch.channels_last)
        options = self._options
        return codec_loss(
            self._networks, x, quality, half_precision=options.half_precision, perceptual=options.perceptual
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
    folder = options.resume or options.output
    photographs = PhotographSet(options.data, limit=options.limit, device=options.device)
    for stage in SHARES if options.stage == "all" else (options.stage,):
        if stage in SHARES:
            share = SHARES[stage] if options.stage == "all" else 1.0
            task = _task(stage, photographs, options, folder)
            if options.start is not None:
                # Linear paths are fitted to this run's latents, where it has trained what makes them.
                fitted = stage == "heads" and (folder / "high" / "state.pt").exists()
                warm_start(task.model, options.start, linear=not fitted)
            run_stage(task, folder / stage, minutes=share * options.minutes, options=options)
        if stage == "heads" and options.valid is not None:
            plot_gap(folder / stage / "log.jsonl", folder / stage / "gap.png")
    if options.stage in {"all", "release"}:
        _release(folder, photographs, options)


def _release(folder: Path, photographs: PhotographSet, options: TrainOptions) -> None:
    logs = {stage: folder / stage / "log.jsonl" for stage in SHARES}
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
        return CodecTask(MediumAutoencoder().to(options.device), photographs, options)
    if stage == "high":
        return CodecTask(HighAutoencoder().to(options.device), photographs, options)
    return HeadsTask(photographs, options, folder)
