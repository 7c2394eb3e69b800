"""Least-squares maps from a latent cell and a few linear features of its four neighbours. Tensors in and out.

Letters: n examples, N channels of a cell, M target values. `around` (n, 5 N) holds a cell, then the cells above, left,
right and below. The features, called edges, are found by reduced-rank regression (Izenman 1975).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_RIDGE = 1e-3
_CELLS = 5


@dataclass(frozen=True)
class NeighbourFit:
    """The fit target = centre cell + across (edges of the four neighbours) + bias, and its R^2.

    `centre` is (M, N), `edges` (features, N), `across` (M, 4 features), `bias` (M,); `r2` is averaged over M values.
    """

    centre: Tensor
    edges: Tensor
    across: Tensor
    bias: Tensor
    r2: float


@dataclass(frozen=True)
class EdgesFit:
    """The fit target = across (edges of the four neighbours) + bias.

    `edges` is (features, N), `across` (M, 4 features), `bias` (M,); `met` (n, M) is the fit's value for each example.
    """

    edges: Tensor
    across: Tensor
    bias: Tensor
    met: Tensor


def neighbour_fit(around: Tensor, target: Tensor, *, edges: int) -> NeighbourFit:
    """Fit target (n, M) by ridge regression on the cell and on the best `edges` features of its neighbours."""
    channels = around.shape[1] // _CELLS
    x, y = around.double(), target.double()
    shares = _ridge(x, y)[channels:-1].view(_CELLS - 1, channels, -1)
    features = _features(x[:, :channels], shares, edges=edges)
    cell, *neighbours = torch.split(x, channels, dim=1)
    seen = torch.cat([cell, *[one @ features for one in neighbours]], dim=1)
    weight = _ridge(seen, y)
    return NeighbourFit(
        centre=weight[:channels].T.float(),
        edges=features.T.float(),
        across=weight[channels:-1].T.float(),
        bias=weight[-1].float(),
        r2=explained_variance(seen @ weight[:-1] + weight[-1], y),
    )


def edges_fit(around: Tensor, target: Tensor, *, edges: int) -> EdgesFit:
    """Fit target (n, M) by ridge regression on the best `edges` features of the neighbours, without the cell."""
    channels = around.shape[1] // _CELLS
    y = target.double()
    cell, *neighbours = torch.split(around.double(), channels, dim=1)
    shares = _ridge(torch.cat(neighbours, dim=1), y)[:-1].view(_CELLS - 1, channels, -1)
    features = _features(cell, shares, edges=edges)
    seen = torch.cat([one @ features for one in neighbours], dim=1)
    weight = _ridge(seen, y)
    met = seen @ weight[:-1] + weight[-1]
    return EdgesFit(features.T.float(), weight[:-1].T.float(), weight[-1].float(), met.float())


def explained_variance(met: Tensor, target: Tensor) -> float:
    """Return R^2 of the fitted values `met` (n, M) for `target` (n, M), averaged over the M values."""
    return float(1 - ((target - met).square().mean(0) / target.var(0)).mean())


def _features(cell: Tensor, shares: Tensor, *, edges: int) -> Tensor:
    """Return the `edges` linear features (N, edges) of a cell that explain the most variance of the target.

    `shares` (4, N, M) are the regression weights of the four neighbours; `cell` (n, N) gives the channels' covariance.
    """
    spread = torch.cov(cell.T) + 1e-8 * torch.eye(cell.shape[1], dtype=cell.dtype)
    scale = torch.linalg.cholesky(spread)
    spilled = torch.cat([scale.T @ share for share in shares], dim=1)
    directions = torch.linalg.svd(spilled, full_matrices=False)[0]
    features: Tensor = torch.linalg.solve(scale.T, directions[:, :edges])
    return features


def _ridge(x: Tensor, y: Tensor) -> Tensor:
    """Return the ridge regression weights of y (n, M) on x (n, K): (K + 1, M), with the constant in the last row."""
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    gram = x.T @ x
    weight: Tensor = torch.linalg.solve(gram + _RIDGE * torch.eye(len(gram), dtype=x.dtype), x.T @ y)
    return weight
