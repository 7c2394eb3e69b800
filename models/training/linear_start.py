"""The closed-form start: a linear transform of the blocks, so that step 0 is a working transform codec.

The transform is either the Karhunen-Loeve transform of the blocks, or the 16x16 DCT coefficients of largest variance on
the colour axes of the photographs (the Karhunen-Loeve transform of their colours). Both are orthonormal, so that one
quantisation step costs the same error in every channel.
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
"""Pairs of blocks behind the statistics (assumed: 80 for each of 768 dimensions), and at most per picture."""
_COLOURED_EVERY = 8
"""Only every such block is used: enough for three colour axes."""


@dataclass(frozen=True)
class DctBasis:
    """A latent of DCT coefficients: their order by variance (N,), colour axes (3, 3), mean colour (3,)."""

    order: Tensor
    colours: Tensor
    mean: Tensor


@dataclass(frozen=True)
class BlockStatistics:
    """Statistics of blocks: mean (P,), basis (N, P), deviation (N,), correlation of neighbours (N,).

    The rows of the basis are orthonormal. `dct` describes them where they are DCT coefficients.
    """

    mean: Tensor
    basis: Tensor
    deviation: Tensor
    correlation: Tensor
    dct: DctBasis | None = None


def klt_statistics(pairs: Tensor, channels: int) -> BlockStatistics:
    """Return the statistics of pairs of neighbouring blocks (count, 2, P) by `channels` principal components."""
    blocks = pairs[:, 0].double()
    mean = blocks.mean(0)
    vectors = torch.linalg.eigh(torch.cov((blocks - mean).T))[1]
    return _project(pairs, vectors.T.flip(0)[:channels], mean)


def dct_statistics(pairs: Tensor, channels: int) -> BlockStatistics:
    """Return the statistics of the same pairs by the `channels` 16x16 DCT coefficients of largest variance."""
    blocks = pairs[:, 0].double().reshape(-1, 3, BLOCK_PX**2)
    mean, colours = blocks.mean((0, 2)), _colour_axes(blocks[::_COLOURED_EVERY])
    rows = dct_matrix().double()
    whole = torch.einsum("ck,ui,vj->cuvkij", colours, rows, rows).reshape(3 * BLOCK_PX**2, -1)
    flat_mean = mean.repeat_interleave(BLOCK_PX**2)
    variance = ((blocks.flatten(1) - flat_mean) @ whole.T).var(0)
    order = variance.argsort(descending=True)[:channels]
    return _project(pairs, whole[order], flat_mean, dct=DctBasis(order, colours.float(), mean.float()))


def _colour_axes(blocks: Tensor) -> Tensor:
    """Return orthonormal colour axes (3, 3), in order of variance around the mean colour of each block."""
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
    """Set transform, deviations, scale indexes and neighbour prediction of `model` from the photographs."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    halves = config.stride_px == 8  # noqa: PLR2004  the medium autoencoder sees the LANCZOS halves
    count = min(_PAIRS, _PAIRS_EACH * photographs.files)
    pairs = photographs.sample_patches(count, stride_px=config.stride_px, halves=halves, generator=generator)
    statistics = dct_statistics if config.basis == "dct" else klt_statistics
    found = statistics(pairs, config.latent_channels)
    model.analysis.start_linear(found.basis, found.mean)
    start_synthesis(model.head.linear, found)
    # The mean of four neighbours predicts an AR(1) field: about rho times it (assumed; training corrects it).
    weight = found.correlation.clamp(0, 1)
    model.hyperprior.start(found.deviation, weight, config.energy_groups)
    crops = photographs.crops(32, size_px=256, generator=generator)
    _start_hyper_latents(model, crops.half if halves else crops.pixels)
    return found


def start_synthesis(linear: LinearSynthesis | DctSynthesis, found: BlockStatistics) -> None:
    """Set the linear path of a head of the same picture size to the inverse of the transform."""
    if isinstance(linear, DctSynthesis):
        assert found.dct is not None, "the architecture has been checked"
        linear.start(found.dct.order, found.dct.colours, found.dct.mean)
    else:
        linear.start(found.basis.T, found.mean)


@torch.no_grad()
def _start_hyper_latents(model: HighAutoencoder | MediumAutoencoder, x: Tensor) -> None:
    """Fit place and width of the hyper-latents' likelihoods to these pictures, at each quality knot."""
    likelihood, hyperprior = model.hyperprior.hyper_latents, model.hyperprior
    y = model.analysis(x, hyperprior.deviation)
    for knot in range(QUALITY_KNOTS):
        quality = torch.full((len(x),), round((QUALITIES - 1) * knot / (QUALITY_KNOTS - 1)))
        z = hyperprior.analysis(y * hyperprior.gain(quality)).clamp(-HYPER_LIMIT, HYPER_LIMIT)
        spread, place = torch.std_mean(z, dim=(0, 2, 3))
        likelihood.place.knots[knot] = place
        # a logistic of width s has standard deviation 1.8 s
        likelihood.log_width.knots[knot] = (spread / 1.8).clamp_min(0.15).log()
