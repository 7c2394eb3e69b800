"""The float means mu, in two checkerboard passes (He 2021, arXiv 2103.15306). They never choose a table.

z_hat -- 3x3, 2x up --+-- 1x1 ------------------------------------------------> mu of the anchors
                      +----------------+
y_hat of anchors --+-- asinh, 1x1 -----+-- depthwise 3x3, 1x1, 1x1 --+--------> mu of the others
                   +-- depthwise 3x3 (starts as the mean of four) ---+

Half of the cells are anchors, half are not: each 1x1 map is computed on the cells where it counts, which saves a
quarter of the work. Such cells are lists (B, P, C), P of the H W cells of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AutoencoderConfig
from models.layers import Pointwise, activate, compress

_HYPER_FEATURES = 64


@dataclass(frozen=True)
class Checkerboard:
    """Which cells of a grid are anchors (row + column even) and which are not: places in row-major order."""

    height: int
    width: int
    anchors: Tensor
    others: Tensor

    @classmethod
    def of(cls, grid: Tensor) -> Checkerboard:
        """The checkerboard of a tensor (B, C, H, W)."""
        height, width = grid.shape[-2:]
        rows = torch.arange(height, device=grid.device)[:, None] + torch.arange(width, device=grid.device)
        parity = rows.flatten() % 2
        return cls(height, width, (parity == 0).nonzero()[:, 0], (parity == 1).nonzero()[:, 0])

    def take(self, grid: Tensor, places: Tensor) -> Tensor:
        """(B, C, H, W) -> the cells (B, P, C) at some places."""
        return grid.permute(0, 2, 3, 1).flatten(1, 2).index_select(1, places)

    def joined(self, anchors: Tensor, others: Tensor) -> Tensor:
        """Both lists of cells -> the grid (B, C, H, W), channels_last."""
        batch, _, channels = anchors.shape
        cells = anchors.new_empty(batch, self.height * self.width, channels)
        cells = cells.index_copy(1, self.anchors, anchors).index_copy(1, self.others, others)
        return cells.view(batch, self.height, self.width, channels).permute(0, 3, 1, 2)


class Means(nn.Module):
    """mu of the anchors from z_hat, mu of the others from z_hat and the decoded anchors; in float32 everywhere."""

    def __init__(self, config: AutoencoderConfig) -> None:
        """Both start at zero but for the linear prediction from the four neighbours."""
        super().__init__()
        channels, features = config.latent_channels, _HYPER_FEATURES
        self.rise = nn.Conv2d(config.hyper_channels, 4 * features, 3, padding=1)
        self.anchor = Pointwise(features, channels, gain=0)
        self.neighbours = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.enter = Pointwise(channels, features)
        self.spatial = nn.Conv2d(2 * features, 2 * features, 3, padding=1, groups=2 * features)
        self.mix = Pointwise(2 * features, config.context_channels)
        self.leave = Pointwise(config.context_channels, channels, gain=0)
        nn.init.zeros_(self.neighbours.weight)

    def features(self, z_hat: Tensor) -> Tensor:
        """Hyper features (B, F, H, W) from z_hat (B, C, H/2, W/2)."""
        return activate(F.pixel_shuffle(self.rise(z_hat / 4), 2))

    def of_anchors(self, features: Tensor, deviation: Tensor, board: Checkerboard) -> Tensor:
        """Means (B, P, N) of the anchors from the hyper features alone, in latent units."""
        return self.anchor.of_cells(board.take(features, board.anchors)) * deviation

    def of_others(self, features: Tensor, anchors: Tensor, deviation: Tensor, board: Checkerboard) -> Tensor:
        """Means (B, P, N) of the cells between, from the decoded anchors (B, P, N)."""
        seen = activate(self.enter.of_cells(compress(anchors / deviation)))
        blank = activate(self.enter.bias).expand(len(seen), len(board.others), -1)  # the map of an empty cell
        h = self.spatial(torch.cat([board.joined(seen, blank), features], dim=1))
        h = activate(self.mix.of_cells(board.take(h, board.others)))
        between = self.neighbours(board.joined(anchors, torch.zeros_like(anchors)))
        mu: Tensor = board.take(between, board.others) + self.leave.of_cells(h) * deviation
        return mu
