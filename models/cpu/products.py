"""Matrix products of integers in int8 or in float32. Every sum stays below 2^24, so both give the same integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True)
class ExactProduct:
    """An exact integer matrix product in one number format: (P, C) in `dtype` times weights (C, O) gives (P, O)."""

    dtype: torch.dtype
    right: Callable[[Tensor], Tensor]
    """Converts the weights (O, C) of a layer to the right factor (C, O) in the product's format and memory layout."""
    multiply: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """Return left times right, in int32 for int8 factors and in float32 for float32 factors."""
        return self.multiply(left, right)


def exact_product(name: str) -> ExactProduct:
    """Return the exact product in the format `name`: "int8" or "float32"."""
    if name == "int8":
        # torch._int_mm multiplies int8 matrices; it has no public name
        return ExactProduct(torch.int8, lambda weight: weight.to(torch.int8).T, torch._int_mm)  # noqa: SLF001
    return ExactProduct(torch.float32, lambda weight: weight.float().T.contiguous(), torch.mm)
