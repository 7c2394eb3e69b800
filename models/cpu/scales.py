"""The exact path once more, for one picture on a processor: z -> h1 -> scale indexes, in loops and two products.

The same integers as scale_path.py's, which is the reference in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from models.config import GRID
from models.cpu import loops
from models.cpu.loops import F32, I16, U16
from models.machine_code import compiled
from models.scale_path import PLAIN, SHIFT

if TYPE_CHECKING:
    from models.scale_path import ScaleWeights

_CELLS = GRID * GRID


class FastScales:
    """Frozen integers, folded as powers of two allow without rounding."""

    def __init__(self, weights: ScaleWeights) -> None:
        """Takes weights that `scale_path.check_exact` has accepted."""
        channels = weights.rise.shape[0] // 4
        by_place = weights.rise.view(channels, 4, 9).permute(1, 2, 0)
        self._rise = by_place.contiguous().numpy().astype(np.int32)
        self._mix = (weights.mix * 2.0**-SHIFT).T.contiguous()
        self._mix_bias: F32 = (weights.mix_bias * 2.0**-SHIFT + 0.5).numpy()
        self._second = (weights.second * 2.0**-SHIFT).T.contiguous()
        self._bias: F32 = (weights.bias * 2.0**-SHIFT + 0.5).numpy()

    def risen(self, z: I16) -> F32:
        """z (C, 11, 11) -> h1 (P, C)."""
        h1 = np.empty((GRID, GRID, len(z)), np.float32)
        compiled(loops.risen)(np.ascontiguousarray(z.transpose(1, 2, 0)), self._rise, h1)
        return h1.reshape(_CELLS, -1)

    def indexes(self, h1: F32, *, quality: int, channels: int) -> U16:
        """h1 (P, C) -> scale indexes (P, channels) of the first channels."""
        h2 = torch.mm(torch.from_numpy(h1), self._mix)
        compiled(loops.hidden)(h2.numpy(), self._mix_bias, PLAIN)
        sums = torch.mm(h2, self._second[:, :channels]).numpy()
        index = np.empty(sums.shape, np.uint16)
        compiled(loops.indexes)(sums, self._bias[quality], index)
        return index
