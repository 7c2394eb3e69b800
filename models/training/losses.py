"""The rate-distortion losses of the training stages. Tensors in, scalars out."""

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
"""The rate-distortion loss of a quality grows about as lambda^0.42 (measured on the initial linear codec). Losses are
divided by it, so that one per cent of rate weighs the same at every quality, as in a BD-rate."""


def balance(quality: Tensor) -> tuple[Tensor, Tensor]:
    """Return lambda (B,), and the factor (B,) on the loss by which all qualities weigh alike."""
    weights = quality_lambdas(str(quality.device))[quality]
    return weights, (weights / _LAMBDA_MIDDLE) ** -_BALANCE


def pad_whole_pictures(x: Tensor, model: HighAutoencoder | MediumAutoencoder) -> Tensor:
    """Pad x (B, 3, S, S) to a multiple of the stride if S is the size of whole pictures; return crops unchanged."""
    return pad_to_cells(x, model.config) if x.shape[2] == model.config.size_px else x


def sent_rounding(hyperprior: Hyperprior, phase: Phase) -> Rounding | None:
    """Return the encoder's rounding, so that the heads train on symbols as sent; None means plain rounding.

    Its bits come from the smooth likelihoods of the current step. They are 64 x 65 numbers, which cost little compared
    with a step and are computed on the device, so that a CUDA graph can include them.
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
    """Return bits per pixel + lambda * distortion of one autoencoder on x (B, 3, S, S), balanced by `balance`.

    `half_precision` computes analysis and head in bfloat16; the latent stays in float32.
    """
    deviation = model.hyperprior.deviation
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        y = model.analysis(pad_whole_pictures(x, model), deviation)
    rate = model.hyperprior(y, quality, rounding=sent_rounding(model.hyperprior, phase))
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        x_hat = model.head(rate.y_hat, quality=quality, deviation=deviation)
    return rate_loss(rate, x, quality) + picture_loss(x_hat, x, quality, perceptual=phase.perceptual).sum()


def rate_loss(rate: RateEstimate, x: Tensor, quality: Tensor) -> Tensor:
    """Return the mean bits per pixel of pictures x (B, 3, S, S), weighted by `balance`."""
    bits_per_px = (rate.y_bits + rate.z_bits) / (x.shape[2] * x.shape[3])
    _, footing = balance(quality)
    return (bits_per_px * footing).mean()


def picture_loss(x_hat: Tensor, x: Tensor, quality: Tensor, *, perceptual: float, error: Error | None = None) -> Tensor:
    """Return the means (k,) of lambda * distortion for k versions of pictures, weighted by `balance`.

    x_hat (k B, 3, ., .) holds the k versions of x (B, 3, H, W), one after the other.
    """
    weight, footing = balance(quality)
    found = distortion(x_hat, x, perceptual=perceptual, error=error).view(-1, len(x))
    loss: Tensor = (weight * footing * found).mean(1)
    return loss


@torch.no_grad()
def decode_latent(
    model: HighAutoencoder, x: Tensor, quality: Tensor, *, half_precision: bool, phase: Phase = FLAT
) -> Tensor:
    """Return y_hat (B, N, H, W) of pictures x by the high autoencoder, without gradients.

    It is quantised with the rounding of `phase`.
    """
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=half_precision):
        y = model.analysis(pad_whole_pictures(x, model), model.hyperprior.deviation)
    return model.hyperprior.quantise(y, quality, rounding=sent_rounding(model.hyperprior, phase)).y_hat


@torch.no_grad()
def medium_latent(model: MediumAutoencoder, x: Tensor) -> Tensor:
    """Return y (B, N, H, W) of 172 pictures x by the medium autoencoder, before rounding and without gradients."""
    y: Tensor = model.analysis(pad_whole_pictures(x, model), model.hyperprior.deviation)
    return y
