"""Stages `upscaler` and `adversarial`: train the upscaler on the medium pictures of demoted photographs.

All other networks are frozen. The flat part of `upscaler` trains on squared error alone, its decay with a share of
SSIMULACRA2. `adversarial` goes on from there, with the same errors and against a discriminator (discriminator.py). Each
ends with a file of its name, such as upscaler.safetensors, which `DemotedCodec` loads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console

from models import upscaler
from models.codec import Codec
from models.config import HIGH_PX, UPSCALER
from models.demoted_codec import DemotedCodec
from models.evaluation.references import pictures_in, reference
from models.perceptual import distortion
from models.pixels import to_pixels, to_tensor
from models.scores import Ssimulacra2, psnr_db
from models.training.demoted_pairs import DemotedPairs, demoted_mediums
from models.training.discriminator import Adversary
from models.training.kept import AVERAGED, load_kept
from models.training.stage_loop import run_stage
from models.upscaler import Upscaler, UpscalerNotes, lanczos_double

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from models.picture_array import Pixels
    from models.training.options import TrainOptions
    from models.training.schedule import Phase
    from models.training.stopwatch import Stopwatch

PAIRS = "pairs.safetensors"
_LEAST_ERROR = 4.0
"""Squared error, in squared 8-bit levels, that is added to that of LANCZOS before dividing by it (assumed)."""
_PICTURES = 8
_QUALITIES = (22, 34, 46)


class UpscalerTask:
    """Stage `upscaler` for the training loop: the upscaler, its loss and its validation."""

    def __init__(self, pairs: DemotedPairs, options: TrainOptions, validation: UpscalerValidation | None) -> None:
        """Build an untrained upscaler."""
        self.validate_every_s = options.recipe.validate_heads_every_s
        self.network = Upscaler(UPSCALER).to(options.device)
        self.model: nn.Module = self.network
        self._pairs, self._options, self._validation = pairs, options, validation

    def loss(self, generator: torch.Generator | None, *, phase: Phase) -> Tensor:
        """Return the distortion of a random batch: squared error, in the decay mixed with SSIMULACRA2.

        It is divided by the squared error of LANCZOS, so that a soft picture counts as much as a sharp one, as in a
        mean of PSNRs.
        """
        batch = self._pairs.batch(self._options.recipe, phase, generator)
        lanczos = lanczos_double(batch.medium, self.network.taps)
        with torch.autocast(self._options.device, dtype=torch.bfloat16, enabled=self._options.half_precision):
            x_hat = self.network(batch.medium, quality=batch.quality)
        found = distortion(x_hat, batch.truth, perceptual=phase.perceptual)
        by_lanczos = distortion(lanczos, batch.truth, perceptual=0)
        return (found / (by_lanczos + _LEAST_ERROR)).mean() + self._judge(x_hat, batch.truth, lanczos)

    def _judge(self, x_hat: Tensor, _truth: Tensor, _lanczos: Tensor) -> Tensor:
        """Return what is added to the distortion: nothing."""
        return x_hat.new_zeros(())

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Return the figures of `UpscalerValidation` for the averaged weights, or {} without validation pictures."""
        assert isinstance(averaged, Upscaler)
        return self._validation.score(averaged) if self._validation else {}


class AdversarialTask(UpscalerTask):
    """Stage `adversarial` for the training loop: the trained upscaler, whose pictures a discriminator judges too."""

    def __init__(
        self, pairs: DemotedPairs, options: TrainOptions, validation: UpscalerValidation | None, folder: Path
    ) -> None:
        """Fill the upscaler from the stage `upscaler` in `folder`, and build an untrained discriminator."""
        super().__init__(pairs, options, validation)
        load_kept(folder / "upscaler", AVERAGED).fill(self.network)
        recipe = options.recipe
        self._weight = recipe.adversarial
        self._adversary = Adversary(rate=recipe.discriminator_rate, betas=recipe.betas, device=options.device)

    def loss(self, generator: torch.Generator | None, *, phase: Phase) -> Tensor:
        """Return the distortion, always with SSIMULACRA2's share, and how much the pictures look made."""
        return super().loss(generator, phase=replace(phase, perceptual=self._options.recipe.perceptual))

    def _judge(self, x_hat: Tensor, truth: Tensor, lanczos: Tensor) -> Tensor:
        if torch.is_grad_enabled():  # Gradients are off in `Run.fixed_loss`, which must not train.
            self._adversary.learn(x_hat, truth, lanczos)
        return self._weight * self._adversary.error(x_hat, lanczos)


@dataclass(frozen=True)
class _Demoted:
    truth: Pixels
    seen: Ssimulacra2
    medium: Pixels
    quality: int


class UpscalerValidation:
    """Scores an upscaler against LANCZOS on eight demoted validation pictures, at three qualities."""

    def __init__(self, folder: Path, codecs: tuple[Codec, DemotedCodec]) -> None:
        """Demote eight pictures, evenly spread over those in `folder`, or all where there are fewer."""
        files = pictures_in(folder)
        self._demoted: list[_Demoted] = []
        for file in files[:: max(1, len(files) // _PICTURES)][:_PICTURES]:
            truth = reference(file, HIGH_PX)
            mediums = demoted_mediums(codecs, truth, quality=codecs[0].default_quality, mediums=[*_QUALITIES])
            seen = Ssimulacra2(truth)
            self._demoted += [_Demoted(truth, seen, *one) for one in zip(mediums, _QUALITIES, strict=True)]
        self._lanczos = [_scores(Upscaler(UPSCALER), one) for one in self._demoted]

    @torch.no_grad()
    def score(self, network: Upscaler) -> dict[str, float]:
        """Return by how much the upscaler is better than LANCZOS: gain_psnr_db and gain_ssimulacra2, means."""
        ours = np.array([_scores(network, one) for one in self._demoted])
        psnr, ssimulacra2 = (ours - np.array(self._lanczos)).mean(0).tolist()
        return {"gain_psnr_db": psnr, "gain_ssimulacra2": ssimulacra2}


@torch.no_grad()
def _scores(network: Upscaler, one: _Demoted) -> tuple[float, float]:
    device = str(network.taps.device)
    x_hat = network(to_tensor(one.medium, device), quality=torch.tensor([one.quality], device=device))
    (found,) = to_pixels(x_hat, HIGH_PX)
    return psnr_db(one.truth, found), one.seen.score(found)


def train_upscaler(options: TrainOptions, folder: Path, watch: Stopwatch) -> None:
    """Train stage `upscaler` or `adversarial` in `folder`, and write the upscaler's file there.

    The codec is that of `options.start`, by default the released one. The time to make the pairs does not count.
    """
    codec = Codec.load(options.start, device=options.device)
    codecs = codec, DemotedCodec.untrained(codec, options.start)
    with watch.pause():
        pairs = DemotedPairs.of(folder / PAIRS, options, codecs)
        validation = UpscalerValidation(options.valid, codecs) if options.valid else None
    stage = options.stage
    task = (
        UpscalerTask(pairs, options, validation)
        if stage == "upscaler"
        else AdversarialTask(pairs, options, validation, folder)
    )
    run_stage(task, folder / stage, budget_s=60 * options.minutes, options=options, watch=watch)
    kept = load_kept(folder / stage, AVERAGED)
    kept.fill(task.network)
    progress = kept.progress
    trained = f"{progress.minutes:.0f} min, {progress.step} steps on {options.device}, {len(pairs.truths)} photographs"
    notes = UpscalerNotes(codecs[1].stream_id.hex(), f"stage {stage}: {trained}")
    upscaler.save(folder / f"{stage}.safetensors", task.network, notes)
    Console().print(notes)
