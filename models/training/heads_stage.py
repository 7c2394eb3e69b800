"""Stage `heads`: train only the light heads (`high-cpu` and the translator) further, on latents of the frozen encoder.

The latents' format does not change, so stored latents stay decodable. Both heads train on the same batches, because the
frozen encoder is the expensive part of a step. With `--note` the research note's translator (note_translator.py) trains
on them too. The validation figure `gap_db` is the PSNR by which the translator's 172 picture is worse than decoding to
344 and resizing by LANCZOS.
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
    """Stage `heads` for the training loop: the light heads, their loss and their validation."""

    def __init__(self, photographs: PhotographSet, options: TrainOptions, folder: Path) -> None:
        """Fill the networks from the stages in `folder`, or from `options.start` where a stage is missing there."""
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
        """Return the summed distortion losses of both heads on a random batch of latents; there is no rate to train."""
        crops, quality = self._photographs.batch(self._options.recipe, phase, generator)
        half = self._options.half_precision
        y_hat = decode_latent(self._high, crops.pixels, quality, half_precision=half, phase=phase)
        if (
            self._note is not None and torch.is_grad_enabled()
        ):  # Gradients are off in `Run.fixed_loss`, which must not train.
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
        """Return the figures of `HeadsValidation` for the averaged heads, or {} without validation pictures."""
        if self._validation is None:
            return {}
        assert isinstance(averaged, LightNetworks)
        return self._validation.score(ComparedNetworks(averaged, self._high, self._note))
