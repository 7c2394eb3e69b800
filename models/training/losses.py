"""Rate-distortion losses of the stages. Tensors in, scalars out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.autoencoder import pad_to_cells
from models.layers import quality_lambdas
from models.perceptual import distortion
from models.rounding import Rounding
from models.training.schedule import FLAT

if TYPE_CHECKING:
    from torch import Tensor

    from models.autoencoder import HighAutoencoder, MediumAutoencoder
    from models.hyperprior import Hyperprior, RateEstimate
    from models.perceptual import Error
    from models.training.schedule import Phase

_LAMBDA_MIDDLE = 0.02
_BALANCE = 0.42
"""The loss of a quality grows about as lambda^0.42 (measured on the linear start). Divided by that, one per cent of
rate weighs the same at every quality, which is what BD-rate counts."""


def balance(quality: Tensor) -> tuple[Tensor, Tensor]:
    """Return lambda (B,), and the weight (B,) that makes all qualities count alike."""
    weights = quality_lambdas(str(quality.device))[quality]
    return weights, (weights / _LAMBDA_MIDDLE) ** -_BALANCE


def pad_whole_pictures(x: Tensor, model: HighAutoencoder | MediumAutoencoder) -> Tensor:
    """Pad whole pictures to latent cells, as the codec does; crops fit already."""
    return pad_to_cells(x, model.config) if x.shape[2] == model.config.size_px else x


def sent_rounding(hyperprior: Hyperprior, phase: Phase) -> Rounding | None:
    """Return the encoder's rounding, so that heads learn on the symbols that are sent; None: nearest integer.

    The costs come from the smooth likelihoods of the current step. That is a table of 64 x 65 numbers: cheap beside a
    step, never out of date, and computed on the device, so that a CUDA graph can hold it.
    """
    if not phase.rounding_strength:
        return None
    return Rounding.from_likelihoods(hyperprior.symbols, strength=phase.rounding_strength)


def codec_loss(
    model: HighAutoencoder | MediumAutoencoder,
    x: Tensor,
    quality: Tensor,
    *,
    half_precision: bool,
    phase: Phase,
) -> Tensor:
    """Return bits per pixel + lambda * distortion of one autoencoder, balanced over qualities.

    The latent stays in float32.
    """
    deviation = model.hyperprior.deviation
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        y = model.analysis(pad_whole_pictures(x, model), deviation)
    rate = model.hyperprior(y, quality, rounding=sent_rounding(model.hyperprior, phase))
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        x_hat = model.head(rate.y_hat, quality=quality, deviation=deviation)
    return rate_loss(rate, x, quality) + picture_loss(x_hat, x, quality, perceptual=phase.perceptual).sum()


def rate_loss(rate: RateEstimate, x: Tensor, quality: Tensor) -> Tensor:
    """Return the bits per pixel of x, balanced over qualities."""
    bits_per_px = (rate.y_bits + rate.z_bits) / (x.shape[2] * x.shape[3])
    _, footing = balance(quality)
    return (bits_per_px * footing).mean()


def picture_loss(x_hat: Tensor, x: Tensor, quality: Tensor, *, perceptual: float, error: Error | None = None) -> Tensor:
    """Return lambda * `distortion` (k,), balanced over qualities.

    x_hat holds k versions (k B, ...) of the pictures x.
    """
    weight, footing = balance(quality)
    found = distortion(x_hat, x, perceptual=perceptual, error=error).view(-1, len(x))
    loss: Tensor = (weight * footing * found).mean(1)
    return loss


@torch.no_grad()
def decode_latent(
    model: HighAutoencoder, x: Tensor, quality: Tensor, *, half_precision: bool, phase: Phase = FLAT
) -> Tensor:
    """Return y_hat of the frozen high autoencoder, as the edge will decode it."""
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        y = model.analysis(pad_whole_pictures(x, model), model.hyperprior.deviation)
    return model.hyperprior.quantise(y, quality, rounding=sent_rounding(model.hyperprior, phase)).y_hat


@torch.no_grad()
def medium_latent(model: MediumAutoencoder, x: Tensor) -> Tensor:
    """Return the latent of the medium picture before rounding."""
    y: Tensor = model.analysis(pad_whole_pictures(x, model), model.hyperprior.deviation)
    return y
