"""Weights laid out for matrix products, and matrices that torch and the compiled loops share without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.config import GRID

if TYPE_CHECKING:
    from torch import Tensor

    from models.cpu.number_formats import F32, Kept

CELLS = GRID * GRID


class Sheet:
    """A matrix in float32 or bf16 with two views: `numbers` for torch, and `kept` for the loops (number_formats.py)."""

    def __init__(self, rows: int, columns: int, dtype: torch.dtype) -> None:
        self.numbers = torch.zeros(rows, columns, dtype=dtype)
        held = self.numbers.view(torch.uint16) if dtype == torch.bfloat16 else self.numbers
        self.kept: Kept = held.numpy()

    def product(self, left: Tensor, right: Tensor) -> Kept:
        torch.mm(left, right, out=self.numbers)
        return self.kept


def numbers(values: Tensor) -> F32:
    found: F32 = values.detach().float().contiguous().numpy()
    return found


def matrix(weight: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the weights (O, C) of a layer transposed to (C, O) and in `dtype`, as the right factor of a product."""
    return weight.detach().T.contiguous().to(dtype)


def filters(layer: torch.nn.Conv2d) -> tuple[F32, F32]:
    """Return the weights (9, C) and the bias (C,) of a depthwise 3x3 layer, as arrays for the loops."""
    assert layer.bias is not None, "every depthwise layer here has a bias"
    return numbers(layer.weight[:, 0].flatten(1).T), numbers(layer.bias)


def interleave(weight: Tensor) -> Tensor:
    """Reorder the first dimension, the values of a block, from (colour, row, column) to (row, column, colour)."""
    side = int((weight.shape[0] // 3) ** 0.5)
    return weight.detach().view(3, side, side, -1).permute(1, 2, 0, 3).reshape(weight.shape)
