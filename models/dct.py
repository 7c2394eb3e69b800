"""The DCT as a linear path: per-channel gains, a separable inverse DCT, and three colour axes.

    y_hat -- gain per channel -- to the place of its coefficient -- inverse, both ways -- colour axes --> x_hat

The latent starts as the 16x16 DCT coefficients of largest variance (training/linear_start.py), so the picture of
full size takes two products with a 16x16 matrix per colour, while a full matrix takes 384 x 768 multiplications per
cell. LANCZOS is separable too: the picture of half the side takes two products with an 8x16 matrix, which is the
inverse DCT followed by the taps of LANCZOS that lie within the block.

Letters: S side of the decoded block in pixels, u v vertical and horizontal frequency, i j row and column of a block.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

BLOCK_PX = 16
"""Side of the blocks whose DCT coefficients the latent starts as."""
_PLACES = 3 * BLOCK_PX**2


def dct_matrix() -> Tensor:
    """Return the orthonormal DCT-II (16, 16), one row per frequency; its transpose is the inverse."""
    frequency, place = torch.arange(BLOCK_PX).double()[:, None], torch.arange(BLOCK_PX).double()
    rows = torch.cos(math.pi / BLOCK_PX * frequency * (place + 0.5)) * math.sqrt(2 / BLOCK_PX)
    rows[0] /= math.sqrt(2)
    return rows.float()


class DctSynthesis(nn.Module):
    """Map a latent to pixels through the DCT, in float32 everywhere."""

    def __init__(self, channels: int, stride_px: int) -> None:
        """Build the path; `stride_px` is the side of the block that a cell becomes: 16 or less."""
        super().__init__()
        self.stride_px = stride_px
        self.gain = nn.Parameter(torch.ones(channels))
        self.inverse = nn.Parameter(dct_matrix()[:, :stride_px].T.clone())
        """(S, 16): the value of each frequency at each place of the block, for rows and columns alike."""
        self.colours = nn.Parameter(torch.eye(3))
        """Row c holds the red, green and blue of one unit of colour axis c."""
        self.bias = nn.Parameter(torch.zeros(3))
        self.register_buffer("places", torch.arange(channels))
        self.places: Tensor
        """Channel n is the coefficient places[n] = 256 c + 16 u + v."""

    def forward(self, y_hat: Tensor) -> Tensor:
        """Map (B, N, H, W) to (B, 3, H S, W S)."""
        with torch.autocast(y_hat.device.type, enabled=False):
            batch, _, height, width = y_hat.shape
            blocks = self.inverse @ (self._coefficients(y_hat.float()) @ self.inverse.T)
            x_hat = blocks.movedim(3, -1) @ self.colours + self.bias  # (B, H, W, S, S, 3)
            side = self.stride_px
            pixels: Tensor = x_hat.permute(0, 5, 1, 3, 2, 4)
            return pixels.reshape(batch, 3, height * side, width * side)

    def _coefficients(self, y_hat: Tensor) -> Tensor:
        """Put each channel at the place of its coefficient, zero elsewhere: (B, H, W, 3, 16, 16)."""
        cells = y_hat.permute(0, 2, 3, 1) * self.gain
        blank = cells.new_zeros(*cells.shape[:3], _PLACES)
        return blank.index_copy(3, self.places, cells).view(*cells.shape[:3], 3, BLOCK_PX, BLOCK_PX)

    @torch.no_grad()
    def start(self, order: Tensor, colours: Tensor, mean: Tensor) -> None:
        """Set coefficients order[n] = 256 c + 16 u + v, colour axes (3, 3) and the mean colour (3,)."""
        self.places.copy_(order)
        self.colours.copy_(colours)
        self.bias.copy_(mean)

    def check(self) -> None:
        """Raise `ValueError` where a channel has no valid place: compiled loops do not check it."""
        if int(self.places.min()) < 0 or int(self.places.max()) >= _PLACES:
            raise ValueError(f"coefficients of a DCT path are not in 0..{_PLACES - 1}")
