"""The translators' linear paths in closed form: least squares from decoded latents to the LANCZOS half's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from models.dct import DctSynthesis, dct_matrix
from models.layers import four_neighbours
from models.training.losses import decoded_latent
from models.training.neighbour_fit import edges_fit, explained, neighbour_fit
from models.training.options import CROP_PX

if TYPE_CHECKING:
    from torch import Tensor

    from models.autoencoder import HighAutoencoder
    from models.training.dataset import PhotographSet
    from models.training.linear_start import DctBasis
    from models.translator import Translator

_BATCHES, _BATCH = 24, 8
_LOWEST_QUALITY = 16
_HALF_STRIDE_PX = 8


@dataclass(frozen=True)
class Examples:
    """Decoded cells with their neighbours (n, 5 N), and the pixels of the halves there (n, 192)."""

    around: Tensor
    target: Tensor


@torch.no_grad()
def translator_examples(high: HighAutoencoder, photographs: PhotographSet, *, seed: int) -> Examples:
    """Cells of many crops and qualities; the outermost cells have no neighbours and are left out."""
    generator = torch.Generator().manual_seed(seed)
    rows, targets = [], []
    for _ in range(min(_BATCHES, 2 * photographs.files)):
        crops = photographs.crops(_BATCH, size_px=CROP_PX, generator=generator)
        quality = photographs.qualities(_BATCH, generator).clamp_min(_LOWEST_QUALITY)
        y_hat = decoded_latent(high, crops.pixels, quality, half_precision=False)
        rows.append(_inner(torch.cat([y_hat, *four_neighbours(y_hat)], dim=1)).cpu())
        targets.append(_inner(F.pixel_unshuffle(crops.half, _HALF_STRIDE_PX)).cpu())
    return Examples(torch.cat(rows), torch.cat(targets))


@torch.no_grad()
def start_translator(translator: Translator, examples: Examples, dct: DctBasis | None) -> float:
    """Fit the linear path of a translator; gives the mean R^2 over pixels."""
    if isinstance(translator.linear, DctSynthesis):
        assert dct is not None, "the architecture has been checked"
        translator.linear.start(dct.order, dct.colours, dct.mean)
        return _fit_by_dct(translator, translator.linear, examples)
    fit = neighbour_fit(examples.around, examples.target, edges=len(translator.linear_edges.weight))
    translator.linear.weight.copy_(fit.centre)
    translator.linear.bias.copy_(fit.bias)
    translator.linear_edges.weight.copy_(fit.edges)
    translator.linear_across.weight.copy_(fit.across)
    for part in (translator.linear_edges, translator.linear_across):
        part.bias.zero_()
    return fit.r2


def _fit_by_dct(translator: Translator, linear: DctSynthesis, examples: Examples) -> float:
    """Gains of the low coefficients first, then edges for what they leave."""
    channels = len(linear.gain)
    cells = examples.around[:, :channels]
    linear.gain.copy_(_fitted_gains(linear, cells, examples.target))
    pixels = linear(cells[:, :, None, None].to(linear.gain.device)).cpu()
    straight = F.pixel_unshuffle(pixels, _HALF_STRIDE_PX).flatten(1)
    fit = edges_fit(examples.around, examples.target - straight, edges=len(translator.linear_edges.weight))
    translator.linear_edges.weight.copy_(fit.edges)
    translator.linear_across.weight.copy_(fit.across)
    translator.linear_across.bias.copy_(fit.bias)
    translator.linear_edges.bias.zero_()
    return explained(straight + fit.met, examples.target)


def _fitted_gains(linear: DctSynthesis, cells: Tensor, target: Tensor) -> Tensor:
    """The gain (N,) of each channel that meets its coefficient of the half best; 1 where it has none."""
    rows = dct_matrix(_HALF_STRIDE_PX)
    pixels = target.view(-1, 3, _HALF_STRIDE_PX, _HALF_STRIDE_PX) - linear.bias.cpu()[:, None, None]
    met = torch.einsum("ck,ui,vj,nkij->ncuv", linear.colours.cpu(), rows, rows, pixels).flatten(1)
    places = linear.places.cpu()
    inside = places < met.shape[1]
    wanted = met[:, places[inside]]
    gains = torch.ones(len(places))
    gains[inside] = (cells[:, inside] * wanted).sum(0) / cells[:, inside].square().sum(0).clamp_min(1e-9)
    return gains


def _inner(grid: Tensor) -> Tensor:
    return grid[:, :, 1:-1, 1:-1].movedim(1, -1).flatten(0, 2)
