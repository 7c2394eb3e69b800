"""Rate-distortion losses of the three trainings. Tensors in, scalars out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.autoencoder import pad_to_cells
from models.layers import quality_lambdas
from models.perceptual import distortion

if TYPE_CHECKING:
    from torch import Tensor

    from models.autoencoder import HighAutoencoder, MediumAutoencoder, MediumPath
    from models.hyperprior import Hyperprior

_LAMBDA_MIDDLE = 0.02
_BALANCE = 0.42
"""The loss of a quality grows about as lambda^0.42 (measured on the linear start); dividing by that makes a per cent of
rate weigh the same at every quality, which is what BD-rate counts."""


def balance(quality: Tensor) -> tuple[Tensor, Tensor]:
    """Lambda (B,) and the weight (B,) that puts all qualities on one footing."""
    weights = quality_lambdas().to(quality.device)[quality]
    return weights, (weights / _LAMBDA_MIDDLE) ** -_BALANCE


def padded(x: Tensor, model: HighAutoencoder | MediumAutoencoder) -> Tensor:
    """Whole pictures are padded to cells as the codec does; crops already fit."""
    return pad_to_cells(x, model.config) if x.shape[2] == model.config.size_px else x


def codec_loss(
    model: HighAutoencoder | MediumAutoencoder,
    x: Tensor,
    quality: Tensor,
    *,
    half_precision: bool,
    perceptual: float = 0.0,
) -> Tensor:
    """bits per pixel + lambda * distortion of one autoencoder, balanced over qualities. The latent stays in float32."""
    deviation = model.hyperprior.deviation
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        y = model.analysis(padded(x, model), deviation)
    rate = model.hyperprior(y, quality)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        x_hat = model.head(rate.y_hat, quality=quality, deviation=deviation)
    bits_per_px = (rate.y_bits + rate.z_bits) / (x.shape[2] * x.shape[3])
    _, footing = balance(quality)
    rate_loss: Tensor = (bits_per_px * footing).mean()
    return rate_loss + picture_loss(x_hat, x, quality, perceptual=perceptual)


def picture_loss(x_hat: Tensor, x: Tensor, quality: Tensor, *, perceptual: float) -> Tensor:
    """lambda * `distortion`, balanced over qualities."""
    weight, footing = balance(quality)
    loss: Tensor = (weight * footing * distortion(x_hat, x, perceptual=perceptual)).mean()
    return loss


@torch.no_grad()
def decoded_latent(model: HighAutoencoder, x: Tensor, quality: Tensor, *, half_precision: bool) -> Tensor:
    """y_hat of the frozen high autoencoder, as the edge will decode it."""
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        y = model.analysis(padded(x, model), model.hyperprior.deviation)
    return model.hyperprior.quantise(y, quality).y_hat


def latent_loss(
    path: MediumPath, y_hat: Tensor, target: Tensor, *, quality: Tensor, source: Hyperprior, medium: Hyperprior
) -> Tensor:
    """Warm-up of the translator: squared error in standard deviations against the medium latent before rounding."""
    y_medium = path.translator(y_hat, quality=quality, deviation=source.deviation, target_deviation=medium.deviation)
    error: Tensor = (y_medium - target) / medium.deviation[:, None, None]
    return error.square().mean()


@torch.no_grad()
def medium_latent(model: MediumAutoencoder, x: Tensor) -> Tensor:
    """Latent of the medium picture before rounding."""
    y: Tensor = model.analysis(padded(x, model), model.hyperprior.deviation)
    return y
