"""Unpacked symbols -> pixel values on a device: means, y_hat and head as one module per picture size.

The means are in float32, as everywhere; the head is the codec's own module in its own number format. No branch depends
on values in the batch, so that all of it can be captured as a CUDA graph. Latents are in units of their channels'
standard deviations, t = y_hat / deviation. The halves of the checkerboard are lists of cells, selected by index.

    q, h1 --+-- anchors: t = q step + mean --------------+--> y_hat --> head --> round, clamp, settle --> (B, S, S, 3)
            +-- others: t = q step + mean + 4 neighbours +

Letters: B pictures, P = 484 cells, A anchors, O other cells, N latent channels, F features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.config import GRID, QUALITIES
from models.cpu.latent import Board
from models.cpu.matrices import CELLS
from models.flat_grounds import FlatGrounds, FlatLimits
from models.layers import activate, compress
from models.pixels import to_levels

if TYPE_CHECKING:
    from models.hyperprior import Hyperprior
    from models.means import Means
    from models.synthesis import HighHead
    from models.translator import Translator


class DeviceLatent(nn.Module):
    """Computes the means in two passes, and y_hat, for a batch on a device, as `Hyperprior.dequantise` does."""

    def __init__(self, hyperprior: Hyperprior) -> None:
        """Share the weights of `hyperprior`, on its device, and compute the quantisation steps of all qualities."""
        super().__init__()
        self.means: Means = hyperprior.means
        self.deviation = hyperprior.deviation
        every = torch.arange(QUALITIES, device=self.deviation.device)
        self.steps = (1 / (hyperprior.gain(every)[:, :, 0, 0] * self.deviation)).detach()
        """(QUALITIES, N): quantisation steps in units of the channels' standard deviations."""
        self.coded = hyperprior.coded
        self._place(Board.of_grid())

    def _place(self, board: Board) -> None:
        anchors, others, around = (
            torch.from_numpy(places).long() for places in (board.anchors, board.others, board.anchors_around)
        )
        row_major = torch.empty(CELLS, dtype=torch.int64)
        row_major[torch.cat([anchors, others])] = torch.arange(CELLS)
        device = self.deviation.device
        self.anchors, self.others, self.row_major = anchors.to(device), others.to(device), row_major.to(device)
        self.around = [around[:, side].contiguous().to(device) for side in range(4)]
        """Four tensors (O,): the anchors above, left, right and below each non-anchor cell, as indexes 0..A - 1.

        A stands for a neighbour beyond the grid.
        """

    def forward(self, quality: Tensor, h1: Tensor, q: Tensor) -> Tensor:
        """Map quality (B,), h1 (B, P, C) and q (B, P, N) to y_hat (B, N, 22, 22), channels_last."""
        step, coded = self.steps[quality][:, None], self.coded[quality][:, None]
        features = activate(self.means.read.of_cells(h1.float() / self.means.unit))
        mean = self.means.anchor.of_cells(features.index_select(1, self.anchors))
        t_anchors = torch.addcmul(q.index_select(1, self.anchors) * step, mean, coded)
        mean = self._between(t_anchors, features)
        t_others = torch.addcmul(q.index_select(1, self.others) * step, mean, coded) + self._neighbours(t_anchors)
        t = torch.cat([t_anchors, t_others], dim=1).index_select(1, self.row_major)
        return _grid(t * self.deviation)

    def _between(self, t_anchors: Tensor, features: Tensor) -> Tensor:
        """Return the network's part of the means (B, O, N) of the non-anchor cells, before the neighbours' terms."""
        means = self.means
        seen = activate(means.enter.of_cells(compress(t_anchors[..., : means.enter.weight.shape[1]])))
        blank = activate(means.enter.bias).expand(len(seen), len(self.others), -1)
        cells = torch.cat([seen, blank], dim=1).index_select(1, self.row_major)
        h = (
            means.spatial(_grid(torch.cat([cells, features], dim=2)))
            .permute(0, 2, 3, 1)
            .flatten(1, 2)
            .index_select(1, self.others)
        )
        mu: Tensor = means.leave.of_cells(activate(means.mix.of_cells(h)))
        return mu

    def _neighbours(self, t_anchors: Tensor) -> Tensor:
        """Return the weighted sum (B, O, N) of the four anchors around each non-anchor cell."""
        padded = torch.cat([t_anchors, t_anchors.new_zeros(len(t_anchors), 1, t_anchors.shape[2])], dim=1)
        shares = self.means.neighbours
        total = padded.index_select(1, self.around[0]) * shares[0]
        for side in (1, 2, 3):
            total = torch.addcmul(total, padded.index_select(1, self.around[side]), shares[side])
        return total


def _grid(cells: Tensor) -> Tensor:
    """Map cells (B, P, C) to a grid (B, C, 22, 22), channels_last."""
    return cells.view(len(cells), GRID, GRID, -1).permute(0, 3, 1, 2)


class DevicePicture(nn.Module):
    """Decodes a batch of symbols to pictures of one size."""

    def __init__(self, latent: DeviceLatent, head: HighHead | Translator, size_px: int) -> None:
        super().__init__()
        self.latent, self.head, self.size_px = latent, head, size_px
        self.flat = FlatGrounds(FlatLimits.of_high(), str(latent.deviation.device))

    def forward(self, quality: Tensor, h1: Tensor, q: Tensor) -> Tensor:
        """Return the pixel values 0..255 (B, S, S, 3), cropped to S = `size_px`, as integers held in float32."""
        y_hat = self.latent(quality, h1, q)
        x_hat: Tensor = self.head(y_hat, quality=quality, deviation=self.latent.deviation)
        return self.flat.settle(to_levels(x_hat, self.size_px), quality)
