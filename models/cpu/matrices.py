"""Weights as the right factors of products, and memory that torch sees as numbers and the loops as bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.config import GRID

if TYPE_CHECKING:
    from torch import Tensor

    from models.cpu.loops import F32, U16

CELLS = GRID * GRID


class Half:
    """A matrix in bf16, for torch as numbers, for the loops as bits."""

    def __init__(self, rows: int, columns: int) -> None:
        self.numbers = torch.zeros(rows, columns, dtype=torch.bfloat16)
        self.bits: U16 = self.numbers.view(torch.uint16).numpy()

    def product(self, left: Tensor, right: Tensor) -> U16:
        torch.mm(left, right, out=self.numbers)
        return self.bits


def numbers(values: Tensor) -> F32:
    found: F32 = values.detach().float().contiguous().numpy()
    return found


def matrix(weight: Tensor) -> Tensor:
    """(O, C) as the right factor of a product, (C, O)."""
    return weight.detach().T.contiguous()


def half_matrix(weight: Tensor) -> Tensor:
    return matrix(weight).to(torch.bfloat16)


def filters(layer: torch.nn.Conv2d) -> tuple[F32, F32]:
    """Depthwise 3x3 as (9, C) and the bias."""
    assert layer.bias is not None, "every depthwise layer here has a bias"
    return numbers(layer.weight[:, 0].flatten(1).T), numbers(layer.bias)


def interleaved(weight: Tensor) -> Tensor:
    """The first dimension from colour, row, column to row, column, colour."""
    side = int((weight.shape[0] // 3) ** 0.5)
    return weight.detach().view(3, side, side, -1).permute(1, 2, 0, 3).reshape(weight.shape)
