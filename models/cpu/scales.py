"""The exact path once more, for one picture on a processor: z -> h1 -> scale indexes, in integers throughout.

The same integers as scale_path.py's, which is the reference in the tests: 8 bits in, 32 bits out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from models.config import GRID
from models.cpu import loops
from models.cpu.loops import I8, I16, I32, U16
from models.cpu.matrices import CELLS
from models.machine_code import compiled
from models.scale_path import PLAIN

if TYPE_CHECKING:
    from torch import Tensor

    from models.scale_path import ScaleWeights


class FastScales:
    """Frozen integers, as they lie best."""

    def __init__(self, weights: ScaleWeights) -> None:
        """Takes weights that `scale_path.check_exact` has accepted."""
        channels = weights.rise.shape[0] // 4
        by_place = weights.rise.view(channels, 4, 9).permute(1, 2, 0)
        self._rise = by_place.contiguous().numpy().astype(np.int32)
        self._mix, self._second = weights.mix.to(torch.int8), weights.second.to(torch.int8)
        self._mix_bias: I32 = weights.mix_bias.numpy().astype(np.int32)
        self._bias: I32 = weights.bias.numpy().astype(np.int32)
        # compiled now, and not within the first request
        self.indexes(self.risen(np.zeros((channels, GRID // 2, GRID // 2), np.int16)), quality=0, channels=32)

    def risen(self, z: I16) -> I8:
        """z (C, 11, 11) -> h1 (P, C)."""
        h1 = np.empty((GRID, GRID, len(z)), np.int8)
        compiled(loops.risen)(np.ascontiguousarray(z.transpose(1, 2, 0)), self._rise, h1)
        return h1.reshape(CELLS, -1)

    def indexes(self, h1: I8, *, quality: int, channels: int) -> U16:
        """h1 (P, C) -> scale indexes (P, channels) of the first channels."""
        h2 = np.empty((CELLS, len(self._mix)), np.int8)
        compiled(loops.hidden)(_product(h1, self._mix), self._mix_bias, PLAIN, h2)
        index = np.empty((CELLS, channels), np.uint16)
        compiled(loops.indexes)(_product(h2, self._second[:channels]), self._bias[quality], index)
        return index


def _product(left: I8, weight: Tensor) -> I32:
    """(P, C) times the transpose of (O, C), in 32 bits: torch has no public name for it."""
    product: I32 = torch._int_mm(torch.from_numpy(left), weight.T).numpy()  # noqa: SLF001
    return product
