"""The Muon optimizer (Jordan 2024): the momentum of each matrix is made nearly orthogonal before it updates the matrix.

    buffer <- momentum buffer + (1 - momentum) gradient
    update = NewtonSchulz(gradient + momentum (buffer - gradient))       Nesterov
    weight <- weight - rate 0.2 sqrt(max(rows, columns)) update          RMS as large as AdamW's update

`torch.optim.Muon` computes the same (a test compares the two), but one matrix after the other and with the learning
rate as a Python number. For a hundred matrices that is some two thousand kernels a step, and a CUDA graph would keep
the rate of its capture. Here all matrices of one shape, and of its transpose, are orthogonalised as one batch, and the
rate may be a tensor.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor
    from torch.optim.optimizer import ParamsT

_STEPS = 5
"""Iterations of Newton-Schulz (Jordan 2024)."""
_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Coefficients of the quintic polynomial of Newton-Schulz, chosen for a steep slope at zero (Jordan 2024)."""
_TINY = 1e-7
"""Lower limit of the norm by which a matrix is divided, for matrices that are zero."""
_LIKE_ADAMW = 0.2
"""Factor that makes the RMS of an update as large as AdamW's, so that both use one learning rate (Jordan 2024)."""


class Muon(Optimizer):
    """Muon as a torch optimizer, for matrices only and without weight decay."""

    def __init__(self, params: ParamsT, *, lr: float | Tensor, momentum: float) -> None:
        """Create the optimizer; `lr` may be a tensor on the parameters' device, read by a CUDA graph at each replay."""
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is ever passed
        """Update every matrix that has a gradient."""
        assert closure is None, "the gradients have been computed already"
        for group in self.param_groups:
            matrices = [one for one in group["params"] if one.grad is not None]
            if matrices:
                self._update(matrices, group)

    def _update(self, matrices: Sequence[Tensor], group: dict[str, Any]) -> None:
        gradients = [one.grad for one in matrices if one.grad is not None]
        buffers = [self._buffer(one) for one in matrices]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, buffers, group["momentum"])  # noqa: SLF001  as public as torch._foreach_lerp_
        for wide, tall in _group_by_shape(matrices):
            rows = _batch([ahead[place] for place in wide], [ahead[place] for place in tall])
            scale = _LIKE_ADAMW * math.sqrt(rows.shape[2])
            updates = orthogonalise(rows).float() * (group["lr"] * -scale)
            apart = [*updates[: len(wide)], *updates[len(wide) :].mT.contiguous()]
            torch._foreach_add_([matrices[place] for place in (*wide, *tall)], apart)

    def _buffer(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        buffer: Tensor = state["momentum"]
        return buffer


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return matrices with nearly orthonormal rows close to `matrices` (n, rows, columns), rows <= columns.

    It is five iterations of Newton-Schulz in bfloat16.
    """
    x = matrices.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(_TINY)
    for _ in range(_STEPS):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, gram, x, beta=_A)
    return x


def _group_by_shape(matrices: Sequence[Tensor]) -> Iterable[tuple[list[int], list[int]]]:
    """Group matrices whose shapes are equal up to a transpose; return the indexes of the wide and the tall ones."""
    places: defaultdict[tuple[int, ...], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for place, matrix in enumerate(matrices):
        is_tall = matrix.shape[0] > matrix.shape[1]
        places[tuple(sorted(matrix.shape))][is_tall].append(place)
    return places.values()


def _batch(wide: Sequence[Tensor], tall: Sequence[Tensor]) -> Tensor:
    """Stack matrices to one batch (n, rows, columns), rows <= columns: first `wide`, then `tall` transposed."""
    stacks = [torch.stack(list(wide))] if wide else []
    if tall:
        stacks.append(torch.stack(list(tall)).mT)
    return torch.cat(stacks)
