"""The linear path of a head by an inverse DCT: a gain per channel, a separable inverse DCT, and three colour axes.

    y_hat -- gain per channel -- to its coefficient's place -- inverse DCT, vertical and horizontal -- colours --> x_hat

The latent is initialised as the 16x16 DCT coefficients of largest variance (training/linear_start.py). Therefore the
344 picture takes two products with a 16x16 matrix per colour and cell, where a full matrix takes 384 x 768
multiplications per cell. LANCZOS is separable too, so the 172 picture takes two products with an 8x16 matrix: the
inverse DCT followed by the taps of LANCZOS that lie within the block.

Letters: S side of the decoded block in pixels, u v vertical and horizontal frequency, i j row and column of a block.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

BLOCK_PX = 16
"""Side in pixels of the blocks whose DCT coefficients initialise the latent."""
_PLACES = 3 * BLOCK_PX**2


def dct_matrix() -> Tensor:
    """Return the matrix (16, 16) of the orthonormal DCT-II, one row per frequency; its transpose is its inverse."""
    frequency, place = torch.arange(BLOCK_PX).double()[:, None], torch.arange(BLOCK_PX).double()
    rows = torch.cos(math.pi / BLOCK_PX * frequency * (place + 0.5)) * math.sqrt(2 / BLOCK_PX)
    rows[0] /= math.sqrt(2)
    return rows.float()


class DctSynthesis(nn.Module):
    """The linear path from a latent to pixels by gains and an inverse DCT, in float32 even under autocast."""

    def __init__(self, channels: int, stride_px: int) -> None:
        """Build the path for blocks of `stride_px` pixels a side: 16 for the 344 picture, 8 for the 172 picture."""
        super().__init__()
        self.stride_px = stride_px
        self.gain = nn.Parameter(torch.ones(channels))
        self.inverse = nn.Parameter(dct_matrix()[:, :stride_px].T.clone())
        """(S, 16): value of each frequency (column) at each pixel (row) of a block, vertically and horizontally."""
        self.colours = nn.Parameter(torch.eye(3))
        """(3, 3): row c is colour axis c as red, green and blue."""
        self.bias = nn.Parameter(torch.zeros(3))
        self.register_buffer("places", torch.arange(channels))
        self.places: Tensor
        """(N,): latent channel n is the DCT coefficient of index 256 c + 16 u + v, with colour axis c."""

    def forward(self, y_hat: Tensor) -> Tensor:
        """Map y_hat (B, N, H, W) to a picture (B, 3, H S, W S)."""
        with torch.autocast(y_hat.device.type, enabled=False):
            batch, _, height, width = y_hat.shape
            blocks = self.inverse @ (self._coefficients(y_hat.float()) @ self.inverse.T)
            x_hat = blocks.movedim(3, -1) @ self.colours + self.bias  # shape (B, H, W, S, S, 3)
            side = self.stride_px
            pixels: Tensor = x_hat.permute(0, 5, 1, 3, 2, 4)
            return pixels.reshape(batch, 3, height * side, width * side)

    def _coefficients(self, y_hat: Tensor) -> Tensor:
        """Return the DCT coefficients (B, H, W, 3, 16, 16) of y_hat (B, N, H, W); those without a channel are zero."""
        cells = y_hat.permute(0, 2, 3, 1) * self.gain
        blank = cells.new_zeros(*cells.shape[:3], _PLACES)
        return blank.index_copy(3, self.places, cells).view(*cells.shape[:3], 3, BLOCK_PX, BLOCK_PX)

    @torch.no_grad()
    def start(self, order: Tensor, colours: Tensor, mean: Tensor) -> None:
        """Initialise `places` from `order` (N,), the colour axes (3, 3), and the bias from the mean colour (3,)."""
        self.places.copy_(order)
        self.colours.copy_(colours)
        self.bias.copy_(mean)

    def check(self) -> None:
        """Raise `ValueError` where an entry of `places` is out of range; the compiled loops do not check bounds."""
        if int(self.places.min()) < 0 or int(self.places.max()) >= _PLACES:
            raise ValueError(
                f"the coefficient indexes of a DCT path must be in 0..{_PLACES - 1}, "
                f"not {int(self.places.min())}..{int(self.places.max())}"
            )
