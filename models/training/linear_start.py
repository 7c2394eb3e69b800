"""Initialise an autoencoder in closed form as a linear block transform: a working transform codec before training.

The transform is either the Karhunen-Loeve transform of the photographs' blocks, or their 16x16 DCT coefficients of
largest variance, on colour axes that are the Karhunen-Loeve transform of their colours. Both are orthonormal, so that a
quantisation step causes the same squared error in every channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from models.config import QUALITIES
from models.dct import BLOCK_PX, DctSynthesis, dct_matrix
from models.entropy_model import HYPER_LIMIT
from models.layers import QUALITY_KNOTS

if TYPE_CHECKING:
    from torch import Tensor

    from models.autoencoder import HighAutoencoder, MediumAutoencoder
    from models.synthesis import LinearSynthesis
    from models.training.dataset import PhotographSet

_DEVIATION_FLOOR = 1e-3
_PAIRS, _PAIRS_EACH = 60_000, 2_000
"""Pairs of adjacent blocks that the statistics use (assumed: 80 for each of 768 dimensions), and the most from one
photograph."""
_COLOURED_EVERY = 8
"""The colour axes are computed from every eighth block, which is enough for three axes."""


@dataclass(frozen=True)
class DctBasis:
    """A basis of DCT coefficients: their indexes in order of variance (N,), colour axes (3, 3), mean colour (3,)."""

    order: Tensor
    colours: Tensor
    mean: Tensor


@dataclass(frozen=True)
class BlockStatistics:
    """The block transform and its statistics on photographs; P is the number of values of a block, 3 stride^2.

    `mean` (P,) is the mean block, `basis` (N, P) the orthonormal transform, `deviation` (N,) the standard deviation of
    each coefficient, `correlation` (N,) that of adjacent blocks. `dct` is None unless the basis consists of DCT
    coefficients.
    """

    mean: Tensor
    basis: Tensor
    deviation: Tensor
    correlation: Tensor
    dct: DctBasis | None = None


def klt_statistics(pairs: Tensor, channels: int) -> BlockStatistics:
    """Return the statistics of pairs of adjacent blocks (n, 2, P), with their principal components as basis.

    `channels` is the number of components.
    """
    blocks = pairs[:, 0].double()
    mean = blocks.mean(0)
    vectors = torch.linalg.eigh(torch.cov((blocks - mean).T))[1]
    return _project(pairs, vectors.T.flip(0)[:channels], mean)


def dct_statistics(pairs: Tensor, channels: int) -> BlockStatistics:
    """Return the statistics of pairs of adjacent 16x16 blocks (n, 2, 768), with DCT coefficients as basis.

    The basis consists of the `channels` coefficients of largest variance.
    """
    blocks = pairs[:, 0].double().reshape(-1, 3, BLOCK_PX**2)
    mean, colours = blocks.mean((0, 2)), _colour_axes(blocks[::_COLOURED_EVERY])
    rows = dct_matrix().double()
    whole = torch.einsum("ck,ui,vj->cuvkij", colours, rows, rows).reshape(3 * BLOCK_PX**2, -1)
    flat_mean = mean.repeat_interleave(BLOCK_PX**2)
    variance = ((blocks.flatten(1) - flat_mean) @ whole.T).var(0)
    order = variance.argsort(descending=True)[:channels]
    return _project(pairs, whole[order], flat_mean, dct=DctBasis(order, colours.float(), mean.float()))


def _colour_axes(blocks: Tensor) -> Tensor:
    """Return the principal axes (3, 3) of the colours of blocks (n, 3, 256), each minus its block's mean colour."""
    deviations = (blocks - blocks.mean(2, keepdim=True)).movedim(1, 2).flatten(0, 1)
    axes: Tensor = torch.linalg.eigh(torch.cov(deviations.T))[1].T.flip(0)
    return axes


def _project(pairs: Tensor, basis: Tensor, mean: Tensor, *, dct: DctBasis | None = None) -> BlockStatistics:
    first, second = ((pairs[:, side].double() - mean) @ basis.T for side in (0, 1))
    deviation = first.std(0).clamp_min(_DEVIATION_FLOOR)
    correlation = (first * second).mean(0) / (first.square().mean(0) * second.square().mean(0)).sqrt().clamp_min(1e-12)
    return BlockStatistics(mean.float(), basis.float(), deviation.float(), correlation.float(), dct)


def start_linear(
    model: HighAutoencoder | MediumAutoencoder, photographs: PhotographSet, *, seed: int
) -> BlockStatistics:
    """Initialise `model` in closed form from statistics of the photographs, and return these statistics.

    It sets the linear paths, the channels' deviations, the scale indexes, the means' prediction from neighbours, and
    the likelihoods of the hyper-latents.
    """
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    halves = config.stride_px == 8  # noqa: PLR2004  the medium autoencoder is trained on the half-size photographs
    count = min(_PAIRS, _PAIRS_EACH * photographs.files)
    pairs = photographs.sample_patches(count, stride_px=config.stride_px, halves=halves, generator=generator)
    statistics = dct_statistics if config.basis == "dct" else klt_statistics
    found = statistics(pairs, config.latent_channels)
    model.analysis.start_linear(found.basis, found.mean)
    start_synthesis(model.head.linear, found)
    # In an AR(1) field the best prediction from the four neighbours is about rho times their mean (assumed).
    weight = found.correlation.clamp(0, 1)
    model.hyperprior.start(found.deviation, weight, config.energy_groups)
    crops = photographs.crops(32, size_px=256, generator=generator)
    _start_hyper_latents(model, crops.half if halves else crops.pixels)
    return found


def start_synthesis(linear: LinearSynthesis | DctSynthesis, found: BlockStatistics) -> None:
    """Initialise the linear path of a head to the inverse of the block transform; both have the same picture size."""
    if isinstance(linear, DctSynthesis):
        assert found.dct is not None, "Architecture has checked that a head with a DCT path has a DCT latent"
        linear.start(found.dct.order, found.dct.colours, found.dct.mean)
    else:
        linear.start(found.basis.T, found.mean)


@torch.no_grad()
def _start_hyper_latents(model: HighAutoencoder | MediumAutoencoder, x: Tensor) -> None:
    """Fit the location and scale of the hyper-latents' likelihoods to pictures x (B, 3, S, S), at each quality knot."""
    likelihood, hyperprior = model.hyperprior.hyper_latents, model.hyperprior
    y = model.analysis(x, hyperprior.deviation)
    for knot in range(QUALITY_KNOTS):
        quality = torch.full((len(x),), round((QUALITIES - 1) * knot / (QUALITY_KNOTS - 1)))
        z = hyperprior.analysis(y * hyperprior.gain(quality)).clamp(-HYPER_LIMIT, HYPER_LIMIT)
        spread, place = torch.std_mean(z, dim=(0, 2, 3))
        likelihood.place.knots[knot] = place
        # a logistic distribution of scale s has a standard deviation of 1.8 s
        likelihood.log_width.knots[knot] = (spread / 1.8).clamp_min(0.15).log()
