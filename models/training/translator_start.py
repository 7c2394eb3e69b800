"""Initialise the translators' linear paths in closed form: least squares from decoded latents to 172 px pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from models.dct import BLOCK_PX, DctSynthesis, dct_matrix
from models.layers import four_neighbours
from models.training.losses import decode_latent
from models.training.neighbour_fit import edges_fit, explained_variance, neighbour_fit
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
    """n examples of a latent cell: y_hat of the cell and its four neighbours (n, 5 N), and its pixels (n, 192).

    The pixels are the cell's 8x8 block of the photograph resized to half its side.
    """

    around: Tensor
    target: Tensor


@torch.no_grad()
def translator_examples(high: HighAutoencoder, photographs: PhotographSet, *, seed: int) -> Examples:
    """Return examples from random crops at random qualities, without cells at the border, which lack neighbours."""
    generator = torch.Generator().manual_seed(seed)
    rows, targets = [], []
    for _ in range(min(_BATCHES, 2 * photographs.files)):
        crops = photographs.crops(_BATCH, size_px=CROP_PX, generator=generator)
        quality = photographs.qualities(_BATCH, generator).clamp_min(_LOWEST_QUALITY)
        y_hat = decode_latent(high, crops.pixels, quality, half_precision=False)
        rows.append(_inner(torch.cat([y_hat, *four_neighbours(y_hat)], dim=1)).cpu())
        targets.append(_inner(F.pixel_unshuffle(crops.half, _HALF_STRIDE_PX)).cpu())
    return Examples(torch.cat(rows), torch.cat(targets))


@torch.no_grad()
def start_translator(translator: Translator, examples: Examples, dct: DctBasis | None) -> float:
    """Set the linear path of a translator to its least-squares fit, and return the mean R^2 over pixels."""
    if isinstance(translator.linear, DctSynthesis):
        assert dct is not None, "Architecture has checked that a head with a DCT path has a DCT latent"
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
    """Set the DCT path to the LANCZOS taps within a cell, and fit the neighbours' part to the rest. Return R^2."""
    linear.inverse.copy_(_lanczos_half() @ dct_matrix().T)
    cells = examples.around[:, : len(linear.gain), None, None]
    straight = F.pixel_unshuffle(linear(cells.to(linear.gain.device)).cpu(), _HALF_STRIDE_PX).flatten(1)
    fit = edges_fit(examples.around, examples.target - straight, edges=len(translator.linear_edges.weight))
    translator.linear_edges.weight.copy_(fit.edges)
    translator.linear_across.weight.copy_(fit.across)
    translator.linear_across.bias.copy_(fit.bias)
    translator.linear_edges.bias.zero_()
    return explained_variance(straight + fit.met, examples.target)


def _lanczos_half() -> Tensor:
    """Return the matrix (8, 16) by which Pillow's LANCZOS halves one axis of a block, from taps within the block."""
    taps = np.eye(5 * BLOCK_PX, dtype=np.float32)
    halved = Image.fromarray(taps).resize((len(taps), len(taps) // 2), Image.Resampling.LANCZOS)
    within = np.array(halved)[2 * _HALF_STRIDE_PX : 3 * _HALF_STRIDE_PX, 2 * BLOCK_PX : 3 * BLOCK_PX]
    return torch.from_numpy(within.copy())


def _inner(grid: Tensor) -> Tensor:
    return grid[:, :, 1:-1, 1:-1].movedim(1, -1).flatten(0, 2)
