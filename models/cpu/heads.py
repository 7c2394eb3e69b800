"""y_hat to pixels of one picture on a processor: synthesis.py and translator.py once more.

Matrix products are torch's, in bf16; all that lies between them is one compiled loop each (loops.py), over memory that
is kept from picture to picture. The linear paths are in linear_paths.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.config import GRID
from models.cpu import loops
from models.cpu.latent import Board
from models.cpu.linear_paths import high_pixels, medium_pixels
from models.cpu.loops import U8, U16
from models.cpu.matrices import CELLS, Half, filters, half_matrix, interleaved, matrix, numbers
from models.machine_code import compiled

if TYPE_CHECKING:
    from torch import Tensor

    from models.cpu.latent import Decoded
    from models.layers import DepthwiseBlock
    from models.synthesis import HighHead
    from models.translator import Translator


class _Block:
    """A `DepthwiseBlock` on a grid with a border."""

    def __init__(self, block: DepthwiseBlock, cells: int) -> None:
        self._taps, self._taps_bias = filters(block.spatial)
        self._widen, self._widen_bias = half_matrix(block.widen.weight), numbers(block.widen.bias)
        self._narrow, self._narrow_bias = half_matrix(block.narrow.weight), numbers(block.narrow.bias)
        channels, wide = self._widen.shape
        self._near, self._wide, self._sums = Half(cells, channels), Half(cells, wide), Half(cells, channels)

    def add_to(self, grid: U16) -> None:
        """In place."""
        compiled(loops.depthwise)(grid, self._taps, self._taps_bias, self._near.bits)
        wide = self._wide.product(self._near.numbers, self._widen)
        compiled(loops.activated)(wide, self._widen_bias)
        compiled(loops.added)(self._sums.product(self._wide.numbers, self._narrow), self._narrow_bias, grid)


class _Entry:
    """The first layer of a network that reads a latent, and the blocks on the latent grid."""

    def __init__(self, network: HighHead | Translator, blocks: torch.nn.Sequential) -> None:
        self._weight, self._bias = half_matrix(network.enter.weight), numbers(network.enter.bias)
        self._gains = numbers(network.quality.table())
        width = len(self._bias)
        self._sums, self.grid = Half(CELLS, width), Half((GRID + 2) ** 2, width)
        self._square: U16 = self.grid.bits.reshape(GRID + 2, GRID + 2, width)
        self._blocks = [_Block(block, CELLS) for block in blocks]  # type: ignore[arg-type]  # a Sequential of blocks

    def run(self, decoded: Decoded, quality: int) -> Tensor:
        """Gives the grid with its border as a matrix, ((H + 2)(W + 2), C)."""
        read = decoded.read[:, : len(self._weight)]
        sums = self._sums.product(read, self._weight[: read.shape[1]])
        compiled(loops.entered)(sums, self._bias, self._gains[quality], self._square)
        for block in self._blocks:
            block.add_to(self._square)
        return self.grid.numbers


class FastHighHead:
    """`HighHead`: y_hat -> the 344 picture."""

    def __init__(self, head: HighHead, deviation: Tensor) -> None:
        self._entry = _Entry(head, head.deep)
        wide, fine = head.ascend.weight.shape[0] // 4, 2 * GRID
        self._ascend, self._ascend_bias = (
            half_matrix(_shuffled(head.ascend.weight)),
            numbers(_shuffled(head.ascend.bias)),
        )
        self._coarse = Half((GRID + 2) ** 2, 4 * wide)
        self._grid = Half((fine + 2) ** 2, wide)
        self._square: U16 = self._grid.bits.reshape(fine + 2, fine + 2, wide)
        self._blocks = [_Block(block, fine * fine) for block in head.wide]  # type: ignore[arg-type]  # as above
        self._leave = half_matrix(interleaved(head.leave.weight))
        self._detail = Half((fine + 2) ** 2, self._leave.shape[1])
        tiled = interleaved(head.leave.bias).view(8, 1, 8, 3).repeat(2, 2, 1, 1).reshape(-1)
        self._pixels = high_pixels(head.linear, deviation, bias=tiled)

    def run(self, decoded: Decoded, quality: int) -> U8:
        """(344, 344, 3)."""
        coarse = self._coarse.product(self._entry.run(decoded, quality), self._ascend)
        compiled(loops.ascended)(coarse, self._ascend_bias, self._square)
        for block in self._blocks:
            block.add_to(self._square)
        detail = self._detail.product(self._grid.numbers, self._leave)
        return self._pixels.run(decoded, detail)


class FastTranslator:
    """`Translator`: y_hat -> the 172 picture."""

    def __init__(self, translator: Translator, deviation: Tensor) -> None:
        self._entry = _Entry(translator, translator.blocks)
        self._edges = matrix(translator.linear_edges.weight * deviation)
        self._edges_bias = translator.linear_edges.bias.detach()
        self._seen = torch.zeros(CELLS + 1, len(self._edges_bias))
        self._around = torch.from_numpy(Board.of_grid().around.reshape(-1)).long()
        self._across = matrix(interleaved(translator.linear_across.weight))
        self._leave = half_matrix(interleaved(translator.leave.weight))
        self._detail = Half((GRID + 2) ** 2, self._leave.shape[1])
        bias = interleaved(translator.linear_across.bias + translator.leave.bias)
        self._pixels = medium_pixels(translator.linear, deviation, bias=bias)

    def run(self, decoded: Decoded, quality: int) -> U8:
        """(172, 172, 3)."""
        detail = self._detail.product(self._entry.run(decoded, quality), self._leave)
        torch.addmm(self._edges_bias, decoded.t[:-1], self._edges[: decoded.t.shape[1]], out=self._seen[:-1])
        across = self._seen.index_select(0, self._around).view(CELLS, -1)
        return self._pixels.run(decoded, torch.mm(across, self._across), detail)


def _shuffled(weight: Tensor) -> Tensor:
    """The first dimension from channel, row, column (of a shuffle by two) to row, column, channel."""
    return weight.detach().view(-1, 2, 2, *weight.shape[1:]).movedim(0, 2).reshape(weight.shape)
