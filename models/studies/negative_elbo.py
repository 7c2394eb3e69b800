"""The loss of a variational autoencoder, and the loss of the codec as a special case of it.

A variational autoencoder minimises the negative ELBO, here in nats a picture:

    E_q[-log p(x | z)] + KL(q(z | x) || p(z))       with p(x | z) = N(x_hat, sigma^2) for each colour value
    = |x - x_hat|^2 / (2 sigma^2) + constant + KL

The codec minimises bits / P + lambda * 255^2 * |x - x_hat|^2 / (3 P) over the P pixels of a picture. Its posterior is
uniform noise of width 1, whose density is 1. So the KL divergence is E[-log p(y)], which is ln 2 times the bits, and p
is the learned prior that the entropy coder uses. Multiplied by P ln 2, the two losses are equal for

    1 / (2 sigma^2) = ln 2 * lambda * 255^2 / 3
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.autoencoder import MediumAutoencoder
from models.config import MEDIUM_PX, quality_lambda
from models.pixels import to_pixels, to_tensor
from models.scores import PEAK, psnr_db
from models.training.losses import medium_latent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from models.checkpoint import MediumPart
    from models.medium_codec import MediumCodec
    from models.picture_array import Pixels

QUALITIES = (0, 10, 20, 31, 40, 50)
"""The qualities at which the released codec is measured."""
_BATCH = 8


@dataclass(frozen=True)
class Nats:
    """The two terms of a negative ELBO as means over pictures, in nats a picture, and the mean PSNR."""

    rate: float
    distortion: float
    psnr_db: float

    @property
    def total(self) -> float:
        """Return the negative ELBO without its constant."""
        return self.rate + self.distortion


def error_weight(quality: float) -> float:
    """Return 1 / (2 sigma^2): the nats for each unit of squared error at the lambda of a quality, for x in 0..1."""
    return math.log(2) * quality_lambda(quality) * PEAK**2 / 3


def sigma(quality: float) -> float:
    """Return the standard deviation of p(x | z) that corresponds to the lambda of a quality, for x in 0..1."""
    return math.sqrt(0.5 / error_weight(quality))


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return |x - x_hat|^2 (B,) of pictures (B, 3, S, S)."""
    return (x_hat - x).square().flatten(1).sum(1)


@torch.no_grad()
def codec_nats(part: MediumPart, pictures: NDArray[np.uint8], *, quality: int, weighed_as: int) -> Nats:
    """Return the terms of the released medium autoencoder on pictures (n, 172, 172, 3) at `quality`.

    The rate comes from the probabilities that the entropy coder uses, of y and z together. The distortion is weighted
    by the lambda of the quality `weighed_as`.
    """
    networks, rounding = part.autoencoding.networks, part.autoencoding.rounding
    assert isinstance(networks, MediumAutoencoder)
    rates, errors, scores = [], [], []
    for first in range(0, len(pictures), _BATCH):
        pixels = pictures[first : first + _BATCH]
        x, wanted = to_tensor(pixels), torch.full((len(pixels),), quality)
        coded = networks.hyperprior.quantise(medium_latent(networks, x), wanted, rounding=rounding)
        x_hat = networks.head(coded.y_hat, quality=wanted, deviation=networks.hyperprior.deviation)
        rates += (networks.hyperprior.coded_bits(coded, wanted) * math.log(2)).tolist()
        errors += squared_error(x_hat[:, :, :MEDIUM_PX, :MEDIUM_PX], x).tolist()
        scores += picture_scores(pixels, to_pixels(x_hat, MEDIUM_PX))
    return Nats(mean(rates), error_weight(weighed_as) * mean(errors), mean(scores))


def picture_scores(originals: Sequence[Pixels] | NDArray[np.uint8], decoded: Sequence[Pixels]) -> list[float]:
    """Return the PSNR in dB of each decoded picture."""
    return [psnr_db(original, one) for original, one in zip(originals, decoded, strict=True)]


def stream_nats(codec: MediumCodec, pictures: NDArray[np.uint8], *, quality: int) -> float:
    """Return the mean size of real bitstreams of pictures (n, 172, 172, 3), in nats."""
    return mean(8 * len(codec.encode(pixels, quality=quality)) * math.log(2) for pixels in pictures)
