"""Stage `high`: train the high autoencoder together with every network that reads or writes its latent.

The linear paths are initialised in closed form: the analyses as a block transform, the heads of the 344 picture as its
inverse, and the heads of the 172 picture as least-squares maps from a cell and its neighbours to the pixels of the
photograph resized to half its side by LANCZOS.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.autoencoder import SharedLatent
from models.config import HIGH_PX
from models.perceptual import CompiledError
from models.training.heads_validation import ComparedNetworks, HeadsValidation
from models.training.light_encoder import latent_loss
from models.training.linear_start import start_linear, start_synthesis
from models.training.losses import pad_whole_pictures, picture_loss, rate_loss, sent_rounding
from models.training.translator_start import start_translator, translator_examples
from models.training.validation import Watch

if TYPE_CHECKING:
    from models.perceptual import Error
    from models.synthesis import HighHead
    from models.training.dataset import Crops, PhotographSet
    from models.training.options import TrainOptions
    from models.training.schedule import Phase
    from models.translator import Translator


class JointTask:
    """Stage `high` for the training loop: the model, the loss and the validation."""

    def __init__(self, photographs: PhotographSet, options: TrainOptions) -> None:
        """Build the networks, initialised in closed form unless `options.flat` names weights to continue from."""
        self.validate_every_s = options.recipe.validate_every_s
        self._photographs, self._options = photographs, options
        self._networks = SharedLatent(options.architecture).to(options.device)
        if options.flat is None:
            start_shared(self._networks, photographs, seed=options.seed)
        self._error: Error | None = None
        if options.device.startswith("cuda"):
            from models.training.fast_layers import speed_up  # needs Triton, which CPU builds of torch lack

            speed_up(self._networks)
            self._error = CompiledError()
        self.model: nn.Module = self._networks
        self._watch = Watch(options, size_px=HIGH_PX) if options.valid else None
        self._heads_validation = HeadsValidation(options.valid) if options.valid else None

    def loss(self, generator: torch.Generator | None, *, phase: Phase) -> Tensor:
        """Return the rate plus the weighted distortions of all heads, on a random batch of the phase."""
        crops, quality = self._photographs.batch(self._options.recipe, phase, generator)
        return self._loss(crops, quality, phase)

    def _loss(self, crops: Crops, quality: Tensor, phase: Phase) -> Tensor:
        high, options = self._networks.high, self._options
        x, deviation = crops.pixels.contiguous(memory_format=torch.channels_last), high.hyperprior.deviation
        half_precision = torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=options.half_precision)
        with half_precision:
            y = high.analysis(pad_whole_pictures(x, high), deviation)
        rate = high.hyperprior(y, quality, rounding=sent_rounding(high.hyperprior, phase))
        with half_precision:
            highs, mediums = (
                torch.cat([head(rate.y_hat, quality=quality, deviation=deviation).float() for head in heads])
                for heads in self._heads()
            )
        error = None if phase.whole_pictures else self._error
        measure = partial(picture_loss, perceptual=phase.perceptual, error=error)
        distortions = _weigh(measure(highs, x, quality), options.recipe.high_head_shares)
        distortions = distortions + _weigh(measure(mediums, crops.half, quality), options.recipe.medium_head_shares)
        loss: Tensor = rate_loss(rate, x, quality) + distortions + self._light_encoder_loss(x, y, quality)
        return loss

    def _heads(self) -> tuple[list[HighHead], list[Translator]]:
        high, light = self._networks.high, self._networks.light
        mediums = [light.medium] if high.medium_head is None else [light.medium, high.medium_head]
        return [high.head, light.high], mediums

    def _light_encoder_loss(self, x: Tensor, y: Tensor, quality: Tensor) -> Tensor:
        high, analysis = self._networks.high, self._networks.light.analysis
        share = self._options.recipe.light_encoder_share
        if analysis is None:
            return y.new_zeros(())
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self._options.half_precision):
            found = analysis(pad_whole_pictures(x, high), high.hyperprior.deviation)
        return share * latent_loss(found, y, hyperprior=high.hyperprior, quality=quality)

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Return validation figures: BD-rates against JPEG (`Watch`), and of the heads (`HeadsValidation`)."""
        assert isinstance(averaged, SharedLatent)
        if self._watch is None or self._heads_validation is None:
            return {}
        return self._watch.score(averaged.high) | self._heads_validation.score(
            ComparedNetworks(averaged.light, averaged.high, None)
        )


def start_shared(networks: SharedLatent, photographs: PhotographSet, *, seed: int) -> None:
    """Initialise all linear paths in closed form from the photographs."""
    high, light = networks.high, networks.light
    found = start_linear(high, photographs, seed=seed)
    start_synthesis(light.high.linear, found)
    if light.analysis is not None:
        light.analysis.start_linear(found.basis, found.mean)
    examples = translator_examples(high, photographs, seed=seed)
    for head in filter(None, (light.medium, high.medium_head)):
        start_translator(head, examples, found.dct)


def _weigh(losses: Tensor, shares: tuple[float, ...]) -> Tensor:
    return sum((share * loss for share, loss in zip(shares, losses, strict=False)), losses.new_zeros(()))
