"""Make flat white and flat black exact: the last step of every decode of a latent, after the rounding to 8 bits.

A latent keeps a flat white ground as a mean near 255 and noise of some levels. The rule sets a window of 8x8 pixels,
aligned to blocks of 4, to 255 if its samples have these three properties, and to 0 likewise:

    each sample is at most `reach` levels from 255           no edge and no object is within the window
    their mean is less than one level from 255               so the rule moves no window's mean by a whole level
    no channel's mean is more than twice as far from 255     a tint is no white

The rule reads integers and compares integers, so that a picture of 8 bits gets the same pixels on every machine. This
module computes it for a batch by torch; cpu/flat_loops.py computes it for one picture in compiled loops.

Letters: B pictures, S side in pixels, G = S / 4 blocks a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from models.config import QUALITIES

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

RULE_VERSION = b"flat-1"
"""Enters every head id. Change it with the rule or its limits, because an entity tag must name the pixels."""
BLOCK_PX = 4
"""Side of a block; 344 and 172 px are whole numbers of blocks. A window is two blocks a side."""


@dataclass(frozen=True)
class FlatLimits:
    """The limits of the rule, (64,) by quality: a coarser latent has more noise in its flat grounds."""

    reach: NDArray[np.int32]
    """The largest distance of a sample from 255 or 0."""
    total: NDArray[np.int32]
    """The largest sum of the distances of a window's 192 samples."""

    @classmethod
    def of_high(cls) -> FlatLimits:
        """Return the limits of a high latent: a mean of 0.62 from quality 31 on, of at most 0.95 below (measured)."""
        quality = np.arange(QUALITIES, dtype=np.int32)
        total = np.minimum(119 + 3 * np.maximum(31 - quality, 0), 182)
        return cls(np.maximum(9 - quality // 5, 2), total)

    @classmethod
    def of_medium(cls) -> FlatLimits:
        """Return the limits of a medium latent, which is coarser at the same quality (measured)."""
        quality = np.arange(QUALITIES, dtype=np.int32)
        total = np.minimum(119 + 9 * np.maximum(45 - quality, 0), 250)
        return cls(np.clip(9 - (quality - 16) // 5, 2, 12), total)


class FlatGrounds:
    """The rule for batches of pictures on a device, without branches that depend on their values."""

    def __init__(self, limits: FlatLimits, device: str) -> None:
        self._reach = torch.from_numpy(limits.reach).float().to(device)
        self._total = torch.from_numpy(limits.total).float().to(device)

    def settle(self, levels: Tensor, quality: Tensor) -> Tensor:
        """Return `levels` (B, S, S, 3), integers 0..255 held in float32, with exact flat grounds.

        `quality` is (B,). float32 holds all sums exactly, in any order.
        """
        reach, total = self._reach[quality][:, None, None], self._total[quality][:, None, None]
        white, black = (_flat_pixels(distance, reach, total) for distance in (255 - levels, levels))
        return levels.masked_fill(white[..., None], 255).masked_fill(black[..., None], 0)


def _flat_pixels(distance: Tensor, reach: Tensor, total: Tensor) -> Tensor:
    """Return which pixels (B, S, S) lie in a flat window; `distance` (B, S, S, 3) is that from 255 or from 0."""
    batch, side = distance.shape[:2]
    blocks = distance.view(batch, side // BLOCK_PX, BLOCK_PX, side // BLOCK_PX, BLOCK_PX, 3)
    largest, sums = blocks.amax(dim=(2, 4, 5)), blocks.sum(dim=(2, 4)).permute(0, 3, 1, 2)
    of_channel = F.avg_pool2d(sums, 2, stride=1, divisor_override=1)  # the sums of windows, (B, 3, G - 1, G - 1)
    is_flat = (F.max_pool2d(largest[:, None], 2, stride=1)[:, 0] <= reach) & (of_channel.sum(1) <= total)
    is_flat &= 3 * of_channel.amax(1) <= 2 * total
    in_blocks = F.max_pool2d(F.pad(is_flat.float()[:, None], (1, 1, 1, 1)), 2, stride=1)[:, 0] > 0
    return in_blocks.repeat_interleave(BLOCK_PX, 1).repeat_interleave(BLOCK_PX, 2)
