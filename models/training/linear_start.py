"""Stage 0, in closed form: the Karhunen-Loeve transform of the blocks, so that step 0 is a working transform codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from models.config import QUALITIES
from models.entropy_model import HYPER_LIMIT
from models.layers import QUALITY_KNOTS

if TYPE_CHECKING:
    from torch import Tensor

    from models.autoencoder import HighAutoencoder, MediumAutoencoder
    from models.training.dataset import PhotographSet

_DEVIATION_FLOOR = 1e-3
_RIDGE = 1e-3
_PAIRS, _PAIRS_EACH = 60_000, 2_000
"""Pairs of blocks that the statistics rest on (assumed: 80 for each of 768 dimensions), and most for each picture."""


@dataclass(frozen=True)
class BlockStatistics:
    """What the photographs say about blocks: mean (P,), basis (N, P), deviation (N,), neighbour correlation (N,)."""

    mean: Tensor
    basis: Tensor
    deviation: Tensor
    correlation: Tensor


def block_statistics(pairs: Tensor, channels: int) -> BlockStatistics:
    """Statistics of pairs of neighbouring blocks (count, 2, P): the first `channels` principal components."""
    blocks = pairs[:, 0].double()
    mean = blocks.mean(0)
    variance, vectors = torch.linalg.eigh(torch.cov((blocks - mean).T))
    basis = vectors.T.flip(0)[:channels]
    deviation = variance.flip(0)[:channels].clamp_min(_DEVIATION_FLOOR**2).sqrt()
    first, second = ((pairs[:, side].double() - mean) @ basis.T for side in (0, 1))
    correlation = (first * second).mean(0) / (first.square().mean(0) * second.square().mean(0)).sqrt().clamp_min(1e-12)
    return BlockStatistics(mean.float(), basis.float(), deviation.float(), correlation.float())


def start_linear(model: HighAutoencoder | MediumAutoencoder, photographs: PhotographSet, *, seed: int) -> None:
    """Set transform, deviations, scale indexes and neighbour prediction of `model` from the photographs."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    halves = config.stride_px == 8  # noqa: PLR2004  the medium autoencoder sees the LANCZOS halves
    count = min(_PAIRS, _PAIRS_EACH * photographs.files)
    pairs = photographs.sample_patches(count, stride_px=config.stride_px, halves=halves, generator=generator)
    found = block_statistics(pairs, config.latent_channels)
    model.analysis.start_linear(found.basis, found.mean)
    model.head.linear.start(found.basis, found.mean)
    # Mean of four neighbours as predictor of an AR(1) field: about rho times the mean (assumed, training corrects it).
    weight = found.correlation.clamp(0, 1)
    model.hyperprior.start(found.deviation, weight, config.energy_groups)
    crops = photographs.crops(32, size_px=256, generator=generator)
    _start_hyper_latents(model, crops.half if halves else crops.pixels)


@torch.no_grad()
def _start_hyper_latents(model: HighAutoencoder | MediumAutoencoder, x: Tensor) -> None:
    """Set place and width of the hyper-latents' likelihoods to what these pictures give at each quality knot."""
    likelihood, hyperprior = model.hyperprior.hyper_latents, model.hyperprior
    y = model.analysis(x, hyperprior.deviation)
    for knot in range(QUALITY_KNOTS):
        quality = torch.full((len(x),), round((QUALITIES - 1) * knot / (QUALITY_KNOTS - 1)))
        z = hyperprior.analysis(y * hyperprior.gain(quality)).clamp(-HYPER_LIMIT, HYPER_LIMIT)
        spread, place = torch.std_mean(z, dim=(0, 2, 3))
        likelihood.place.knots[knot] = place
        # a logistic of width s has standard deviation 1.8 s
        likelihood.log_width.knots[knot] = (spread / 1.8).clamp_min(0.15).log()


@dataclass(frozen=True)
class NeighbourFit:
    """A linear map of a cell and its four neighbours, the neighbours seen through few features of theirs.

    target = centre x + across (edges x of the four neighbours) + bias; r2 is the mean over channels.
    """

    centre: Tensor
    edges: Tensor
    across: Tensor
    bias: Tensor
    r2: float


def neighbour_fit(around: Tensor, target: Tensor, *, edges: int) -> NeighbourFit:
    """Ridge fit of target (n, M) on around (n, 5 N), the cell and its four neighbours; then the best `edges` features.

    The features are the leading directions of what the neighbours contribute (reduced-rank regression, Izenman 1975).
    """
    channels = around.shape[1] // 5
    x, y = around.double(), target.double()
    full = _ridge(x, y)
    scale = torch.linalg.cholesky(torch.cov(x[:, :channels].T) + 1e-8 * torch.eye(channels, dtype=x.dtype))
    shares = full[channels : 5 * channels].view(4, channels, -1)
    spilled = torch.cat([scale.T @ share for share in shares], dim=1)
    directions = torch.linalg.svd(spilled, full_matrices=False)[0]
    features = torch.linalg.solve(scale.T, directions[:, :edges])
    seen = torch.cat([x[:, :channels], *[x[:, side * channels :][:, :channels] @ features for side in range(1, 5)]], 1)
    weight = _ridge(seen, y)
    residual = y - seen @ weight[:-1] - weight[-1]
    r2 = 1 - (residual.square().mean(0) / y.var(0)).mean()
    return NeighbourFit(
        centre=weight[:channels].T.float(),
        edges=features.T.float(),
        across=weight[channels:-1].T.float(),
        bias=weight[-1].float(),
        r2=float(r2),
    )


def _ridge(x: Tensor, y: Tensor) -> Tensor:
    """Weights (columns of x + 1, columns of y), the last row the constant."""
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    gram = x.T @ x
    weight: Tensor = torch.linalg.solve(gram + _RIDGE * torch.eye(len(gram), dtype=x.dtype), x.T @ y)
    return weight
