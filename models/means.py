"""The float means mu, in two checkerboard passes (He 2021, arXiv 2103.15306). They never choose a table.

h1 (of z_hat) -- 1x1 --+-- 1x1 -----------------------------------------------> mu of the anchors
                       +----------------+
y_hat of anchors --+-- compressed, 1x1 -+-- depthwise 3x3, 1x1, 1x1 --+-------> mu of the others
                   +-- four neighbours of each channel (start: mean) -+

Half of the cells are anchors; mu of the others (the non-anchors) also depends on the decoded anchors. Each 1x1 layer is
computed only on the cells that need it, as a list (B, P, C) of P of the H W cells. The 1x1 layer on y_hat of the
anchors reads the first `context_reads` channels only (config.py). h1 is z_hat upsampled by the exact path to the
latent's grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from models.config import AutoencoderConfig
from models.layers import Pointwise, activate, compress, four_neighbours


@dataclass(frozen=True)
class Checkerboard:
    """The row-major indexes of the anchors of a grid (row + column even) and of the other cells (`others`)."""

    height: int
    width: int
    anchors: Tensor
    others: Tensor

    @classmethod
    def of(cls, grid: Tensor) -> Checkerboard:
        """Return the checkerboard for the size and the device of a tensor (B, C, H, W)."""
        return _board(grid.shape[-2], grid.shape[-1], str(grid.device))

    def take(self, grid: Tensor, places: Tensor) -> Tensor:
        """Return the cells (B, P, C) of a grid (B, C, H, W) at the row-major indexes `places` (P,)."""
        return grid.permute(0, 2, 3, 1).flatten(1, 2).index_select(1, places)

    def join(self, anchors: Tensor, others: Tensor) -> Tensor:
        """Return the grid (B, C, H, W), channels_last, of the anchors (B, A, C) and the other cells (B, O, C)."""
        batch, _, channels = anchors.shape
        cells = anchors.new_empty(batch, self.height * self.width, channels)
        cells = cells.index_copy(1, self.anchors, anchors).index_copy(1, self.others, others)
        return cells.view(batch, self.height, self.width, channels).permute(0, 3, 1, 2)


@cache
def _board(height: int, width: int, device: str) -> Checkerboard:
    # The result is cached and may be used with gradients later, which inference tensors do not allow.
    with torch.inference_mode(mode=False):
        rows = torch.arange(height)[:, None] + torch.arange(width)
        parity = rows.flatten() % 2
        anchors, others = ((parity == side).nonzero()[:, 0].to(device) for side in (0, 1))
    return Checkerboard(height, width, anchors, others)


class Means(nn.Module):
    """The network of the means: mu of the anchors from h1, mu of the other cells from h1 and the decoded anchors.

    All of it is in float32.
    """

    unit = 16
    """h1, an integer in -127..127, is divided by this before the first layer."""

    def __init__(self, config: AutoencoderConfig) -> None:
        """Build the layers with both outputs at zero; `Hyperprior.start` sets the linear prediction from neighbours."""
        super().__init__()
        channels, features = config.latent_channels, config.feature_channels
        self.read = Pointwise(config.hyper_channels, features, gain=1.7)
        self.anchor = Pointwise(features, channels, gain=0)
        self.neighbours = nn.Parameter(torch.zeros(4, channels))
        self.enter = Pointwise(config.context_reads, features)
        self.spatial = nn.Conv2d(2 * features, 2 * features, 3, padding=1, groups=2 * features)
        self.mix = Pointwise(2 * features, config.context_channels)
        self.leave = Pointwise(config.context_channels, channels, gain=0)

    def features(self, h1: Tensor) -> Tensor:
        """Map h1 (B, C, H, W) to the features (B, F, H, W) that both passes read."""
        return activate(self.read(h1 / self.unit))

    def of_anchors(self, features: Tensor, deviation: Tensor, board: Checkerboard) -> Tensor:
        """Return mu (B, A, N) of the anchors from the features of h1 (B, F, H, W), in units of y."""
        return self.anchor.of_cells(board.take(features, board.anchors)) * deviation

    def of_others(self, features: Tensor, anchors: Tensor, deviation: Tensor, board: Checkerboard) -> Tensor:
        """Return mu (B, O, N) of the other cells from the features of h1 and y_hat of the anchors (B, A, N)."""
        reads = self.enter.weight.shape[1]
        seen = activate(self.enter.of_cells(compress(anchors[..., :reads] / deviation[:reads])))
        # the value of the non-anchor cells: the output of `enter` for a y_hat of zero
        blank = activate(self.enter.bias).expand(len(seen), len(board.others), -1)
        h = self.spatial(torch.cat([board.join(seen, blank), features], dim=1))
        h = activate(self.mix.of_cells(board.take(h, board.others)))
        between = self._between(board.join(anchors, torch.zeros_like(anchors)))
        mu: Tensor = board.take(between, board.others) + self.leave.of_cells(h) * deviation
        return mu

    def _between(self, grid: Tensor) -> Tensor:
        """Return the weighted sum (B, N, H, W) of each cell's four neighbours, which are zero beyond the grid."""
        above, left, right, below = four_neighbours(grid)
        weights = self.neighbours[:, :, None, None]
        return weights[0] * above + weights[1] * left + weights[2] * right + weights[3] * below
