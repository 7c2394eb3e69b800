"""The translator's linear path in closed form: least squares from decoded latents to the pixels of the LANCZOS half."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from models.config import MEDIUM, TRANSLATOR
from models.layers import four_neighbours
from models.training.linear_start import neighbour_fit
from models.training.losses import decoded_latent
from models.training.options import CROP_PX

if TYPE_CHECKING:
    from torch import Tensor

    from models.autoencoder import HighAutoencoder
    from models.training.dataset import Crops, PhotographSet
    from models.translator import Translator

_BATCHES, _BATCH = 24, 8
_LOWEST_QUALITY = 16


@torch.no_grad()
def start_translator(translator: Translator, high: HighAutoencoder, photographs: PhotographSet, *, seed: int) -> float:
    """Fit over qualities; gives the mean R^2 over pixels."""
    generator = torch.Generator().manual_seed(seed)
    rows, targets = [], []
    for _ in range(min(_BATCHES, 2 * photographs.files)):
        crops = photographs.crops(_BATCH, size_px=CROP_PX, generator=generator)
        around, target = _examples(high, crops, photographs.qualities(_BATCH, generator).clamp_min(_LOWEST_QUALITY))
        rows.append(around.cpu())
        targets.append(target.cpu())
    fit = neighbour_fit(torch.cat(rows), torch.cat(targets), edges=TRANSLATOR.edges)
    for part, weight in ((translator.linear, fit.centre), (translator.linear_across, fit.across)):
        part.weight.copy_(weight)
        part.bias.zero_()
    translator.linear.bias.copy_(fit.bias)
    translator.linear_edges.weight.copy_(fit.edges)
    translator.linear_edges.bias.zero_()
    return fit.r2


def _examples(high: HighAutoencoder, crops: Crops, quality: Tensor) -> tuple[Tensor, Tensor]:
    """(n, 5 N) cells with their neighbours, (n, 192) their pixels; the outermost cells have no neighbours."""
    y_hat = decoded_latent(high, crops.pixels, quality, half_precision=False)
    around = torch.cat([y_hat, *four_neighbours(y_hat)], dim=1)
    target = F.pixel_unshuffle(crops.half, MEDIUM.stride_px)
    return _inner(around), _inner(target)


def _inner(grid: Tensor) -> Tensor:
    return grid[:, :, 1:-1, 1:-1].movedim(1, -1).flatten(0, 2)
