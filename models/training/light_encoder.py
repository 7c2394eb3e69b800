"""The loss of the light encoder, which learns to write the wide encoder's latent. Tensors in, a scalar out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from models.training.losses import balance

if TYPE_CHECKING:
    from torch import Tensor

    from models.hyperprior import Hyperprior

_ERROR_COST = 6 / math.log(2)
"""Cost of a squared error of one step in a symbol, in units of the loss (derived): lambda 255^2 / 3 of the three
colours times step^2, which is 18 / (ln 2 lambda 255^2) for the step that is optimal at high rate (config.py)."""
_STRIDE_PX = 16


def latent_loss(found: Tensor, wanted: Tensor, *, hyperprior: Hyperprior, quality: Tensor) -> Tensor:
    """Return the squared error between gained latents (B, N, H, W) over the coded channels, as a distortion.

    It has no gradient for the wanted latent or the gains.
    """
    gain = hyperprior.gain(quality).detach()
    error = (found - wanted.detach()) * gain * hyperprior.coded[quality][:, :, None, None]
    _, footing = balance(quality)
    per_px = error.square().sum(1).mean((1, 2)) / _STRIDE_PX**2
    loss: Tensor = (_ERROR_COST * footing * per_px).mean()
    return loss
