"""Rate-distortion losses of the three trainings. Tensors in, scalars out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.autoencoder import pad_to_cells
from models.config import QUALITIES, quality_lambda

if TYPE_CHECKING:
    from torch import Tensor

    from models.autoencoder import HighAutoencoder, MediumAutoencoder, MediumPath
    from models.hyperprior import Hyperprior

_LAMBDA_MIDDLE = 0.02
_STRUCTURE_FACTOR = 1300.0
_BALANCE = 0.42
"""The loss of a quality grows about as lambda^0.42 (measured on the linear start); dividing by that makes a per cent of
rate weigh the same at every quality, which is what BD-rate counts."""


def balance(quality: Tensor) -> tuple[Tensor, Tensor]:
    """Lambda (B,) and the weight (B,) that puts all qualities on one footing."""
    weights = torch.tensor([quality_lambda(q) for q in range(QUALITIES)], device=quality.device)[quality]
    return weights, (weights / _LAMBDA_MIDDLE) ** -_BALANCE


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean squared error (B,) in 8-bit units over the area of x, which may be smaller than x_hat."""
    cropped = x_hat[:, :, : x.shape[2], : x.shape[3]]
    return (cropped - x).square().flatten(1).mean(1) * 255**2


def structure_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """1 - MS-SSIM (B,) (Wang 2003), in units of squared error.

    The factor is the ratio of the lambdas that CompressAI uses for the two losses at like rates (0.0067 : 8.73).
    """
    from pytorch_msssim import ms_ssim  # an optional dependency, needed here only

    cropped = x_hat[:, :, : x.shape[2], : x.shape[3]].contiguous()
    similarity: Tensor = ms_ssim(cropped, x.contiguous(), data_range=1.0, size_average=False)
    return _STRUCTURE_FACTOR * (1 - similarity)


def padded(x: Tensor, model: HighAutoencoder | MediumAutoencoder) -> Tensor:
    """Whole pictures are padded to cells as the codec does; crops already fit."""
    return pad_to_cells(x, model.config) if x.shape[2] == model.config.size_px else x


def codec_loss(
    model: HighAutoencoder | MediumAutoencoder,
    x: Tensor,
    quality: Tensor,
    *,
    half_precision: bool,
    structure: float = 0.0,
) -> Tensor:
    """bits per pixel + lambda * distortion of one autoencoder, balanced over qualities. The latent stays in float32.

    Distortion is (1 - structure) * 255^2 MSE + structure * `structure_error`.
    """
    deviation = model.hyperprior.deviation
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        y = model.analysis(padded(x, model), deviation)
    rate = model.hyperprior(y, quality)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        x_hat = model.head(rate.y_hat, quality=quality, deviation=deviation)
    bits_per_px = (rate.y_bits + rate.z_bits) / (x.shape[2] * x.shape[3])
    weight, footing = balance(quality)
    distortion = squared_error(x_hat, x)
    if structure:
        distortion = (1 - structure) * distortion + structure * structure_error(x_hat, x)
    loss: Tensor = ((bits_per_px + weight * distortion) * footing).mean()
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


def medium_pixel_loss(
    path: MediumPath, y_hat: Tensor, x: Tensor, *, quality: Tensor, source: Hyperprior, medium: Hyperprior
) -> Tensor:
    """Squared error of the medium picture through the medium decoder, weighted by quality like the codec's."""
    x_hat = path(y_hat, quality=quality, deviation=source.deviation, target_deviation=medium.deviation)
    weight, footing = balance(quality)
    return (weight * footing * squared_error(x_hat, x)).mean()


@torch.no_grad()
def medium_latent(model: MediumAutoencoder, x: Tensor) -> Tensor:
    """Latent of the medium picture before rounding."""
    y: Tensor = model.analysis(padded(x, model), model.hyperprior.deviation)
    return y
