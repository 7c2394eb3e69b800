"""The DCT as a linear path: per-channel gains, a separable inverse DCT, and three colour axes.

    y_hat -- gain per channel -- to the place of its coefficient -- inverse DCT of S x S -- colour axes --> picture

The latent starts as the 16x16 DCT coefficients of largest variance (training/linear_start.py), so an inverse takes two
products by 16x16 matrices a colour, where a full matrix takes 384 x 768 multiplications a cell. The same latent gives
the picture of half the side through its low 8x8 coefficients.

Letters: S side of the block in pixels, u v vertical and horizontal frequency, i j row and column of a block.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

BLOCK_PX = 16
"""Side of the blocks whose DCT the latent starts as."""


def dct_matrix(side: int) -> Tensor:
    """The orthonormal DCT-II (side, side), a row for each frequency; its transpose is the inverse."""
    frequency, place = torch.arange(side).double()[:, None], torch.arange(side).double()
    rows = torch.cos(math.pi / side * frequency * (place + 0.5)) * math.sqrt(2 / side)
    rows[0] /= math.sqrt(2)
    return rows.float()


class DctSynthesis(nn.Module):
    """A latent to pixels through the DCT; in float32 everywhere."""

    def __init__(self, channels: int, stride_px: int) -> None:
        """`stride_px` is the side of the block that a cell becomes: 16, or 8 for the low frequencies alone."""
        super().__init__()
        self.stride_px = stride_px
        self.gain = nn.Parameter(torch.ones(channels))
        self.colours = nn.Parameter(torch.eye(3))
        """Row c holds the red, green and blue of one unit of colour axis c."""
        self.bias = nn.Parameter(torch.zeros(3))
        self.register_buffer("places", torch.arange(channels))
        self.places: Tensor
        """Channel n is the coefficient places[n] = (c S + u) S + v; 3 S S says that it is too fine for this block."""
        self.register_buffer("inverse", dct_matrix(stride_px).T.contiguous(), persistent=False)
        self.inverse: Tensor

    def forward(self, y_hat: Tensor) -> Tensor:
        """(B, N, H, W) -> (B, 3, H S, W S)."""
        with torch.autocast(y_hat.device.type, enabled=False):
            batch, _, height, width = y_hat.shape
            cells = self._coefficients(y_hat.float())  # (B, H, W, 3, S, S)
            blocks = self.inverse @ (cells @ self.inverse.T)
            x_hat = blocks.movedim(3, -1) @ self.colours + self.bias  # (B, H, W, S, S, 3)
            side = self.stride_px
            pixels: Tensor = x_hat.permute(0, 5, 1, 3, 2, 4)
            return pixels.reshape(batch, 3, height * side, width * side)

    def _coefficients(self, y_hat: Tensor) -> Tensor:
        """Each channel at the place of its coefficient, zero elsewhere, what is too fine for the block left out."""
        cells, side = y_hat.permute(0, 2, 3, 1) * self.gain, self.stride_px
        blank = cells.new_zeros(*cells.shape[:3], 3 * side * side + 1)
        placed = blank.index_copy(3, self.places, cells)
        return placed[..., :-1].reshape(*placed.shape[:3], 3, side, side)

    @torch.no_grad()
    def start(self, order: Tensor, colours: Tensor, mean: Tensor) -> None:
        """Set the path to the inverse of a DCT of 16x16 blocks.

        Channel n is coefficient order[n] = 256 c + 16 u + v, on colour axes (3, 3), around the mean colour (3,).
        """
        side = self.stride_px
        colour, u, v = order // BLOCK_PX**2, order // BLOCK_PX % BLOCK_PX, order % BLOCK_PX
        inside = (u < side) & (v < side)
        self.places.copy_(torch.where(inside, (colour * side + u) * side + v, 3 * side * side))
        self.colours.copy_(colours)
        self.bias.copy_(mean)
        # a block of half the side holds half the amplitude in each coefficient
        self.gain.fill_(side / BLOCK_PX)

    def check(self) -> None:
        """Raise `ValueError` when a channel has no place: loops over memory rely on it."""
        if int(self.places.min()) < 0 or int(self.places.max()) > 3 * self.stride_px**2:
            raise ValueError(f"coefficients of a DCT path are not in 0..{3 * self.stride_px**2}")
