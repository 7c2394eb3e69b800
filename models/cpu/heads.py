"""The heads on a CPU: from y_hat to the pixels of one picture, as synthesis.py and translator.py compute them.

Matrix products are torch's, in float32 or bf16. Each step between two products is one compiled loop (loops.py). Its
output memory is reused for every picture. The linear paths are in linear_paths.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.config import GRID
from models.cpu import loops
from models.cpu.latent import Board
from models.cpu.linear_paths import high_pixels, medium_pixels
from models.cpu.matrices import CELLS, Sheet, filters, interleave, matrix, numbers
from models.cpu.number_formats import U8, Kept
from models.machine_code import compile_loop

if TYPE_CHECKING:
    from torch import Tensor

    from models.cpu.latent import Decoded
    from models.layers import DepthwiseBlock
    from models.synthesis import HighHead
    from models.translator import Translator


class _Block:
    """Computes a `DepthwiseBlock` on a grid (H + 2, W + 2, C) with a border of one empty cell."""

    def __init__(self, block: DepthwiseBlock, cells: int, dtype: torch.dtype) -> None:
        self._taps, self._taps_bias = filters(block.spatial)
        self._widen, self._widen_bias = matrix(block.widen.weight, dtype), numbers(block.widen.bias)
        self._narrow, self._narrow_bias = matrix(block.narrow.weight, dtype), numbers(block.narrow.bias)
        channels, wide = self._widen.shape
        self._near, self._wide, self._sums = (Sheet(cells, width, dtype) for width in (channels, wide, channels))

    def add_to(self, grid: Kept) -> None:
        """Add the block's residual to `grid` (H + 2, W + 2, C) in place."""
        compile_loop(loops.depthwise)(grid, self._taps, self._taps_bias, self._near.kept)
        wide = self._wide.product(self._near.numbers, self._widen)
        compile_loop(loops.activate)(wide, self._widen_bias)
        compile_loop(loops.add_residual)(self._sums.product(self._wide.numbers, self._narrow), self._narrow_bias, grid)


class _Entry:
    """Computes the first layer of a head's network and its blocks on the latent grid."""

    def __init__(self, network: HighHead | Translator, blocks: torch.nn.Sequential, dtype: torch.dtype) -> None:
        self._weight, self._bias = matrix(network.enter.weight, dtype), numbers(network.enter.bias)
        self._gains = numbers(network.quality.table())
        width = len(self._bias)
        self._sums, self.grid = Sheet(CELLS, width, dtype), Sheet((GRID + 2) ** 2, width, dtype)
        self._square: Kept = self.grid.kept.reshape(GRID + 2, GRID + 2, width)
        self._blocks = [_Block(block, CELLS, dtype) for block in blocks]  # type: ignore[arg-type]  # a Sequential of blocks

    def run(self, decoded: Decoded, quality: int) -> Tensor:
        """Return the output on the latent grid with its border, as a matrix ((H + 2)(W + 2), C)."""
        read = decoded.read[:, : len(self._weight)]
        sums = self._sums.product(read, self._weight[: read.shape[1]])
        compile_loop(loops.enter)(sums, self._bias, self._gains[quality], self._square)
        for block in self._blocks:
            block.add_to(self._square)
        return self.grid.numbers


class FastHighHead:
    """Computes a `HighHead` on a CPU: from y_hat to the 344 picture."""

    def __init__(self, head: HighHead, deviation: Tensor, *, dtype: torch.dtype) -> None:
        self._entry = _Entry(head, head.deep, dtype)
        wide, fine = head.ascend.weight.shape[0] // 4, 2 * GRID
        self._ascend, self._ascend_bias = (
            matrix(_move_shuffle_last(head.ascend.weight), dtype),
            numbers(_move_shuffle_last(head.ascend.bias)),
        )
        self._coarse = Sheet((GRID + 2) ** 2, 4 * wide, dtype)
        self._grid = Sheet((fine + 2) ** 2, wide, dtype)
        self._square: Kept = self._grid.kept.reshape(fine + 2, fine + 2, wide)
        self._blocks = [_Block(block, fine * fine, dtype) for block in head.wide]  # type: ignore[arg-type]  # as above
        self._leave = matrix(interleave(head.leave.weight), dtype)
        self._detail = Sheet((fine + 2) ** 2, self._leave.shape[1], dtype)
        tiled = interleave(head.leave.bias).view(8, 1, 8, 3).repeat(2, 2, 1, 1).reshape(-1)
        self._pixels = high_pixels(head.linear, deviation, bias=tiled, dtype=dtype)

    def run(self, decoded: Decoded, quality: int) -> U8:
        """Decode one latent of this quality to its picture (344, 344, 3) in sRGB."""
        coarse = self._coarse.product(self._entry.run(decoded, quality), self._ascend)
        compile_loop(loops.ascend)(coarse, self._ascend_bias, self._square)
        for block in self._blocks:
            block.add_to(self._square)
        detail = self._detail.product(self._grid.numbers, self._leave)
        return self._pixels.run(decoded, detail)


class FastTranslator:
    """Computes a `Translator` on a CPU: from y_hat to the 172 picture."""

    def __init__(self, translator: Translator, deviation: Tensor, *, dtype: torch.dtype) -> None:
        self._entry = _Entry(translator, translator.blocks, dtype)
        self._edges = matrix(translator.linear_edges.weight * deviation)
        self._edges_bias = translator.linear_edges.bias.detach()
        self._seen = torch.zeros(CELLS + 1, len(self._edges_bias))
        self._around = torch.from_numpy(Board.of_grid().around.reshape(-1)).long()
        self._across = matrix(interleave(translator.linear_across.weight))
        self._leave = matrix(interleave(translator.leave.weight), dtype)
        self._detail = Sheet((GRID + 2) ** 2, self._leave.shape[1], dtype)
        bias = interleave(translator.linear_across.bias + translator.leave.bias)
        self._pixels = medium_pixels(translator.linear, deviation, bias=bias, dtype=dtype)

    def run(self, decoded: Decoded, quality: int) -> U8:
        """Decode one latent of this quality to its picture (172, 172, 3) in sRGB."""
        detail = self._detail.product(self._entry.run(decoded, quality), self._leave)
        torch.addmm(self._edges_bias, decoded.t[:-1], self._edges[: decoded.t.shape[1]], out=self._seen[:-1])
        across = self._seen.index_select(0, self._around).view(CELLS, -1)
        return self._pixels.run(decoded, torch.mm(across, self._across), detail)


def _move_shuffle_last(weight: Tensor) -> Tensor:
    """Reorder the 4 C outputs of a layer before `F.pixel_shuffle(., 2)` from (C, 2, 2) to (2, 2, C).

    The channels of each of the four finer cells are then adjacent.
    """
    return weight.detach().view(-1, 2, 2, *weight.shape[1:]).movedim(0, 2).reshape(weight.shape)
