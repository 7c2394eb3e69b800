"""Stage `heads`: continue to train the light heads alone (`high-cpu` and the translator) on the frozen high latents.

Stored latents stay readable. Both heads train on the same batches, because the frozen encoder is the expensive part of
a step. With `--note` the research note's translator (note_translator.py) trains on them too. Every validation compares
with decode-344-then-LANCZOS-to-172: `gap_db` says how far the translator is behind that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.autoencoder import HighAutoencoder, LightNetworks, MediumAutoencoder
from models.training.heads_validation import ComparedNetworks, HeadsValidation
from models.training.losses import decode_latent, picture_loss
from models.training.note_translator import NoteTranslator
from models.training.warm_start import fill

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.dataset import PhotographSet
    from models.training.options import TrainOptions
    from models.training.schedule import Phase


class HeadsTask:
    """The light heads as a `Task` of the training loop."""

    def __init__(self, photographs: PhotographSet, options: TrainOptions, folder: Path) -> None:
        """Read the networks of the run in `folder` or of its start."""
        self.validate_every_s = options.recipe.validate_heads_every_s
        self._photographs, self._options, self._folder = photographs, options, folder
        self._high = HighAutoencoder(options.architecture).to(options.device).requires_grad_(requires_grad=False)
        light = LightNetworks(options.architecture).to(options.device)
        for networks in (self._high, light):
            fill(networks, folder, start=options.start)
        self._light = light
        self.model: nn.Module = light
        self._note = NoteTranslator(options.architecture, self._medium()) if options.note else None
        self._validation = HeadsValidation(options.valid) if options.valid else None

    def _medium(self) -> MediumAutoencoder:
        medium = MediumAutoencoder(self._options.architecture).to(self._options.device)
        medium.requires_grad_(requires_grad=False)
        fill(medium, self._folder, start=self._options.start)
        return medium

    def loss(self, generator: torch.Generator | None, *, phase: Phase) -> Tensor:
        """Return the sum of both heads' losses on one batch of decoded latents."""
        crops, quality = self._photographs.batch(self._options.recipe, phase, generator)
        half = self._options.half_precision
        y_hat = decode_latent(self._high, crops.pixels, quality, half_precision=half, phase=phase)
        if self._note is not None and torch.is_grad_enabled():  # without gradients this is a measurement, not a step
            self._note.learn(y_hat, crops.half, quality)
        with torch.autocast(y_hat.device.type, dtype=torch.bfloat16, enabled=half):
            x_hat = self._light.high(y_hat, quality=quality, deviation=self._high.hyperprior.deviation)
            x_half = self._light.medium(y_hat, quality=quality, deviation=self._high.hyperprior.deviation)
        high, medium = (
            picture_loss(found, truth, quality, perceptual=phase.perceptual)
            for found, truth in ((x_hat, crops.pixels), (x_half, crops.half))
        )
        return (high + medium).sum()

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Return how far the translator is behind its rival, and the light head behind `high-gpu`."""
        if self._validation is None:
            return {}
        assert isinstance(averaged, LightNetworks)
        return self._validation.score(ComparedNetworks(averaged, self._high, self._note))
