"""Matrix products of integers, in 8 bits or in float32: every sum stays below 2^24, so both give the same integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True)
class ExactProduct:
    """(P, C) times the transpose of weights (O, C) -> (P, O), the left factor in `dtype`."""

    dtype: torch.dtype
    right: Callable[[Tensor], Tensor]
    """Lays out weights (O, C) as the right factor (C, O)."""
    multiply: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the product of both factors, in int32 or float32."""
        return self.multiply(left, right)


def exact_product(name: str) -> ExactProduct:
    """Return the product of that format: int8 or float32."""
    if name == "int8":
        # torch has no public name for this product
        return ExactProduct(torch.int8, lambda weight: weight.to(torch.int8).T, torch._int_mm)  # noqa: SLF001
    return ExactProduct(torch.float32, lambda weight: weight.float().T.contiguous(), torch.mm)
