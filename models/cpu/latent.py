"""Compute the means and y_hat of one picture on a CPU, as means.py and `Hyperprior.dequantise` do.

Matrix products are torch's. Each step between two products is one compiled loop (loops.py). Only the n channels that
the quality codes are computed, in units of their standard deviations: t = y_hat / deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.config import GRID, QUALITIES
from models.cpu import loops
from models.cpu.matrices import CELLS, Sheet, filters, matrix, numbers
from models.cpu.number_formats import F32, I8, I16, I32
from models.layers import LOUD, activate
from models.machine_code import compile_loop

if TYPE_CHECKING:
    from torch import Tensor

    from models.hyperprior import Hyperprior


@dataclass(frozen=True)
class Board:
    """The checkerboard of the 22x22 grid: row-major indexes of the anchors (A,) and of the other cells (O,).

    The other tables name the four neighbours of cells in the order above, left, right, below.
    """

    anchors: I32
    others: I32
    around: I32
    """(P, 4): the neighbours of each of the P = 484 cells, as row-major indexes; P stands for one beyond the grid."""
    others_around: I32
    """(O, 4): the rows of `around` of the non-anchor cells."""
    anchors_around: I32
    """(O, 4): the neighbours of the non-anchor cells as indexes into `anchors`; A stands for one beyond the grid."""

    @classmethod
    def of_grid(cls) -> Board:
        rows, columns = np.divmod(np.arange(CELLS, dtype=np.int32), np.int32(GRID))
        even = (rows + columns) % 2 == 0
        anchors, others = (np.flatnonzero(side).astype(np.int32) for side in (even, ~even))
        around = np.full((CELLS, 4), CELLS, np.int32)
        for side, (dy, dx) in enumerate(((-1, 0), (0, -1), (0, 1), (1, 0))):
            y, x = rows + dy, columns + dx
            inside = (y >= 0) & (y < GRID) & (x >= 0) & (x < GRID)
            around[inside, side] = (y * GRID + x)[inside]
        number = np.full(CELLS + 1, len(anchors), np.int32)
        number[anchors] = np.arange(len(anchors))
        return cls(anchors, others, around, around[others], number[around[others]])


@dataclass(frozen=True)
class Decoded:
    """The decoded latent t = y_hat / deviation of one picture, in the forms that the heads read."""

    t: Tensor
    """(P + 1, n) in float32; the last row is zero and stands for cells beyond the grid."""
    quiet: Tensor
    """(P, n - 32): channels from 32 on of t in bf16, for linear paths by a full matrix; (P, 0) without such a path."""
    read: Tensor
    """(P, n): `compress`(t) in the number format of the heads, the input of their networks."""


class FastLatent:
    """Computes the means in two passes, and t = y_hat / deviation, for one picture on a CPU."""

    def __init__(self, hyperprior: Hyperprior, *, dtype: torch.dtype, with_quiet: bool) -> None:
        """Copy the weights of `hyperprior`; `dtype` is the number format of the heads.

        `with_quiet` says whether to fill `Decoded.quiet`.
        """
        means, self._board, self._dtype, self._with_quiet = hyperprior.means, Board.of_grid(), dtype, with_quiet
        deviation = hyperprior.deviation
        every = torch.arange(QUALITIES)
        self._steps: F32 = (1 / (hyperprior.gain(every)[:, :, 0, 0] * deviation)).numpy()
        # The division of h1 by `Means.unit` is folded into the weights of the first layer, `read`.
        self._read, self._read_bias = matrix(means.read.weight / means.unit), numbers(means.read.bias)
        self._anchor, self._anchor_bias = matrix(means.anchor.weight), numbers(means.anchor.bias)
        self._enter, self._enter_bias = matrix(means.enter.weight), numbers(means.enter.bias)
        self._taps, self._taps_bias = filters(means.spatial)
        self._blank = self._of_blank_cells(means.enter.bias)
        self._mix, self._mix_bias = matrix(means.mix.weight), numbers(means.mix.bias)
        self._leave, self._leave_bias = matrix(means.leave.weight), numbers(means.leave.bias)
        self._shares = numbers(means.neighbours)
        self._grid = np.zeros((GRID + 2, GRID + 2, self._read.shape[1]), np.float32)

    def _of_blank_cells(self, bias: Tensor) -> F32:
        """Return (O, F): the depthwise filter's sum at each non-anchor cell over the non-anchor cells in its window.

        In the second pass these cells hold the activated bias of `Means.enter`, because their y_hat is not known yet.
        So this sum is constant, and is computed once. It includes the filter's bias.
        """
        channels = len(bias)
        empty = torch.zeros(GRID + 2, GRID + 2, channels)
        rows, columns = np.divmod(self._board.others, GRID)
        empty[rows + 1, columns + 1] = activate(bias.detach())
        windows = torch.stack([empty[dy : dy + GRID, dx : dx + GRID] for dy in range(3) for dx in range(3)])
        seen = windows.reshape(9, CELLS, channels)[:, self._board.others]
        weights = torch.from_numpy(self._taps[:, :channels])
        return numbers((seen * weights[:, None]).sum(0) + torch.from_numpy(self._taps_bias[:channels]))

    def decode(self, h1: I8, q: I16, quality: int) -> Decoded:
        """Return t = y_hat / deviation from h1 (P, C) and q (P, n) of a quality; P = 484 cells in row-major order."""
        channels, board = q.shape[1], self._board
        steps = self._steps[quality, :channels]
        t = torch.zeros(CELLS + 1, channels)
        loud = LOUD if self._with_quiet else channels
        quiet, read = Sheet(CELLS, channels - loud, self._dtype), Sheet(CELLS, channels, self._dtype)
        compile_loop(loops.features)(
            torch.mm(torch.from_numpy(h1).float(), self._read).numpy(), self._read_bias, self._grid
        )
        features = torch.from_numpy(self._grid)[1:-1, 1:-1].reshape(CELLS, -1)
        means = torch.mm(features[board.anchors], self._anchor[:, :channels]).numpy()
        compressed = np.empty((len(board.anchors), min(channels, len(self._enter))), np.float32)
        compile_loop(loops.decode_anchors)(
            q, means, self._anchor_bias, steps, board.anchors, loud, t.numpy(), quiet.kept, compressed, read.kept
        )
        means = self._between(torch.from_numpy(compressed), channels)
        compile_loop(loops.decode_others)(
            q, means, self._leave_bias, steps, self._shares, board.others, board.others_around, loud,
            t.numpy(), quiet.kept, read.kept,
        )  # fmt: skip
        return Decoded(t, quiet.numbers, read.numbers)

    def _between(self, compressed: Tensor, channels: int) -> F32:
        """Return the network's part of the non-anchor cells' means (O, n), before bias and neighbours' terms are added.

        `compressed` is compress(t) of the anchors in their first channels, the input of that network.
        """
        board = self._board
        seen = torch.mm(compressed, self._enter[: compressed.shape[1]]).numpy()
        compile_loop(loops.activate)(seen, self._enter_bias)
        mixed = np.empty((len(board.others), 2 * seen.shape[1]), np.float32)
        compile_loop(loops.between)(
            seen, self._blank, self._grid, self._taps, self._taps_bias, board.others, board.anchors_around, mixed
        )
        h = torch.mm(torch.from_numpy(mixed), self._mix)
        compile_loop(loops.activate)(h.numpy(), self._mix_bias)
        return torch.mm(h, self._leave[:, :channels]).numpy()
