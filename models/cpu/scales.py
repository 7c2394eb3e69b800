"""The exact path for one picture on a CPU: z -> h1 -> scale indexes, in integers throughout.

It computes the same integers as scale_path.py; a test compares the two. Matrix products are in int8 or float32,
whichever is faster on this CPU (kernels.py). `scale_path.check_exact` has checked that every sum is below 2^24.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models.config import GRID
from models.cpu import loops
from models.cpu.matrices import CELLS
from models.cpu.number_formats import I8, I16, I32, U16
from models.cpu.products import exact_product
from models.machine_code import compile_loop
from models.scale_path import PLAIN

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from models.scale_path import ScaleWeights


class FastScales:
    """Computes h1 and the scale indexes of one picture in integers. Weights are laid out as the loops read them."""

    def __init__(self, weights: ScaleWeights, *, kernel: str) -> None:
        """Convert weights that `check_exact` has accepted, and compile the loops; `kernel` is "int8" or "float32"."""
        channels = weights.rise.shape[0] // 4
        by_place = weights.rise.view(channels, 4, 9).permute(1, 2, 0)
        self._rise = by_place.contiguous().numpy().astype(np.int32)
        self._multiply = exact_product(kernel)
        self._mix, self._second = self._multiply.right(weights.mix), self._multiply.right(weights.second)
        self._mix_bias: I32 = weights.mix_bias.numpy().astype(np.int32)
        self._bias: I32 = weights.bias.numpy().astype(np.int32)
        # One call with zeros compiles the loops now, so that the first request does not wait for the compiler.
        self.indexes(self.upsample(np.zeros((channels, GRID // 2, GRID // 2), np.int16)), quality=0, channels=32)

    def upsample(self, z: I16) -> I8:
        """Return h1 (484, C): z (C, 11, 11) upsampled to the latent grid."""
        h1 = np.empty((GRID, GRID, len(z)), np.int8)
        compile_loop(loops.upsample)(np.ascontiguousarray(z.transpose(1, 2, 0)), self._rise, h1)
        return h1.reshape(CELLS, -1)

    def indexes(self, h1: I8, *, quality: int, channels: int) -> U16:
        """Return the scale indexes (484, channels) of the first `channels` latent channels, from h1 (484, C)."""
        h2 = torch.empty(CELLS, self._mix.shape[1], dtype=self._multiply.dtype)
        sums = self._sums(torch.from_numpy(h1).to(self._multiply.dtype), self._mix)
        compile_loop(loops.hidden)(sums, self._mix_bias, PLAIN, h2.numpy())
        index = np.empty((CELLS, channels), np.uint16)
        compile_loop(loops.indexes)(self._sums(h2, self._second[:, :channels]), self._bias[quality], index)
        return index

    def _sums(self, left: Tensor, right: Tensor) -> NDArray[Any]:
        sums: NDArray[Any] = self._multiply(left, right).numpy()
        return sums
