"""Stage `high`: the high autoencoder and all that reads its latent, together, so that the latent suits every reader.

The linear paths start in closed form: analysis and `high-gpu` as the Karhunen-Loeve transform, `high-cpu` as the same,
the translator as the least-squares map from a cell and its neighbours to the pixels of the LANCZOS half.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.autoencoder import SharedLatent
from models.perceptual import CompiledError
from models.training.linear_start import start_linear
from models.training.losses import linear_groups, padded, picture_loss, rate_loss
from models.training.options import batch_of
from models.training.translator_start import start_translator
from models.training.validation import Watch

if TYPE_CHECKING:
    from models.perceptual import Error
    from models.training.dataset import Crops, PhotographSet
    from models.training.options import TrainOptions

_GPU_SHARE, _CPU_SHARE, _MEDIUM_SHARE = 0.55, 0.45, 0.2
"""Weights of the distortions by `high-gpu`, `high-cpu` (1 together: rate is weighed against one picture) and medium."""


class JointTask:
    """A `Task` of the training loop."""

    validate_every_s = 600.0

    def __init__(self, photographs: PhotographSet, options: TrainOptions) -> None:
        """Starts from the closed forms."""
        self._photographs, self._options = photographs, options
        self._networks = SharedLatent().to(options.device)
        high, light = self._networks.high, self._networks.light
        start_linear(high, photographs, seed=options.seed)
        light.high.linear.load_state_dict(high.head.linear.state_dict())
        start_translator(light.medium, high, photographs, seed=options.seed)
        self._error: Error | None = None
        if options.device.startswith("cuda"):
            from models.training.fast_layers import speed_up  # triton is there where a GPU is

            speed_up(self._networks)
            self._error = CompiledError()
        self.model: nn.Module = self._networks
        self._watch = Watch(options, size_px=high.config.size_px) if options.valid else None

    def loss(self, generator: torch.Generator | None, *, whole_pictures: bool) -> Tensor:
        """Rate and the three distortions of a batch of crops, or of whole pictures in the last part."""
        size_px, batch = batch_of(self._options, whole_pictures=whole_pictures)
        crops = self._photographs.crops(batch, size_px=size_px, generator=generator)
        quality = self._photographs.qualities(batch, generator)
        return self._loss(crops, quality, None if whole_pictures else self._error)

    def _loss(self, crops: Crops, quality: Tensor, error: Error | None) -> Tensor:
        high, light, options = self._networks.high, self._networks.light, self._options
        x, deviation = crops.pixels.contiguous(memory_format=torch.channels_last), high.hyperprior.deviation
        half_precision = torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=options.half_precision)
        with half_precision:
            y = high.analysis(padded(x, high), deviation)
        rate = high.hyperprior(y, quality)
        with half_precision:
            by_gpu, by_cpu, medium = (
                head(rate.y_hat, quality=quality, deviation=deviation) for head in (high.head, light.high, light.medium)
            )
        measure = partial(picture_loss, perceptual=options.perceptual, error=error)
        by_gpu_loss, by_cpu_loss = measure(torch.cat([by_gpu.float(), by_cpu.float()]), x, quality)
        medium_loss = measure(medium.float(), crops.half, quality).sum()
        distortions = _GPU_SHARE * by_gpu_loss + _CPU_SHARE * by_cpu_loss + _MEDIUM_SHARE * medium_loss
        loss: Tensor = rate_loss(rate, x, quality) + distortions
        return loss

    def groups(self, rate: float) -> list[dict[str, object]]:
        """All parameters, the linear paths slower."""
        return linear_groups(self.model, rate)

    def score(self, averaged: nn.Module) -> dict[str, float]:
        """Rate-distortion against JPEG on the validation pictures, and on as many that are trained on."""
        assert isinstance(averaged, SharedLatent)
        return self._watch.score(averaged.high) if self._watch else {}
