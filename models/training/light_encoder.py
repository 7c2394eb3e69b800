"""The loss by which the light encoder learns to output the wide encoder's latent. Tensors in, a scalar out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from models.training.losses import balance

if TYPE_CHECKING:
    from torch import Tensor

    from models.hyperprior import Hyperprior

_ERROR_COST = 6 / math.log(2)
"""Cost, in the training loss, of an error of one quantisation step in one symbol (derived): lambda 255^2 / 3 times
step^2, where step^2 = 18 / (ln 2 lambda 255^2) is optimal at high rate (`quality_step` in config.py)."""
_STRIDE_PX = 16


def latent_loss(found: Tensor, wanted: Tensor, *, hyperprior: Hyperprior, quality: Tensor) -> Tensor:
    """Return the squared error in quantisation steps of the latent `found` against `wanted`, both (B, N, H, W).

    It is summed over the channels that `quality` (B,) codes, and scaled to the units of the training loss. No gradient
    flows to `wanted` and to the gains.
    """
    gain = hyperprior.gain(quality).detach()
    error = (found - wanted.detach()) * gain * hyperprior.coded[quality][:, :, None, None]
    _, footing = balance(quality)
    per_px = error.square().sum(1).mean((1, 2)) / _STRIDE_PX**2
    loss: Tensor = (_ERROR_COST * footing * per_px).mean()
    return loss
