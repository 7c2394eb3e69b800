"""Rate-distortion optimised rounding, at the encoder only: every choice gives a valid stream.

A symbol v becomes the nearest integer q, or the integer one step nearer to zero, whichever has the smaller

    bits(q | scale index) + strength * lambda 255^2 / (3 gain^2) (v - q)^2

The second term is the squared error of this symbol over the three colours of the picture, if the transform were
orthonormal (it starts as one). The rate is computed from the tables in use. Cf. the RDOQ of HEVC's reference encoder
(Karczewicz 2008, VCEG-AH21).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.entropy_model import SCALE_COUNT, SymbolModel, support_of
from models.layers import quality_lambdas

_LARGEST = 64
"""A larger

q

is rounded to the nearest integer: a step there hardly changes the rate (derived).
"""


@dataclass(frozen=True)
class Rounding:
    """Costs in bits (SCALE_COUNT, _LARGEST + 1) by scale index and |q|, and the weight of the squared error."""

    bits: Tensor
    strength: float

    @classmethod
    def from_tables(cls, tables: list[Tensor], *, strength: float) -> Rounding:
        """Compute the costs from the frozen tables of one model."""
        rows = []
        for index in range(SCALE_COUNT):
            counts, support = tables[index].double(), support_of(index)
            cost = -torch.log2(counts / counts.sum())[support : 2 * support + 1]
            beyond = cost[-1:].expand(max(0, _LARGEST + 1 - len(cost))) + 8.0  # an escape is expensive, however far
            rows.append(torch.cat([cost, beyond])[: _LARGEST + 1])
        return cls(torch.stack(rows).float(), strength)

    @classmethod
    @torch.no_grad()
    def from_likelihoods(cls, model: SymbolModel, *, strength: float) -> Rounding:
        """Compute the costs from the present smooth likelihoods, because a training has no tables yet."""
        device = model.share.device
        index = torch.arange(SCALE_COUNT, device=device).float()[:, None]
        q = torch.arange(_LARGEST + 1, device=device).float().expand(SCALE_COUNT, -1)
        return cls(-torch.log2(model.mass(q, index)), strength)

    def to(self, device: str) -> Rounding:
        """Return the same for latents on a device."""
        return replace(self, bits=self.bits.to(device))

    def __call__(self, v: Tensor, *, index: Tensor, gain: Tensor, quality: Tensor) -> Tensor:
        """Round v; v, index and gain broadcast to (B, ., .), quality is (B,); q is integers held in float32."""
        size = v.abs()
        near = torch.floor(size + 0.5)
        low = (near - 1).clamp_min(0)
        saved = self.cost(near, index) - self.cost(low, index)
        lost = self.strength * self.curvature(gain, quality) * ((size - low).square() - (size - near).square())
        q = torch.where((saved > lost) & (near <= _LARGEST), low, near)
        return torch.sign(v) * q

    def cost(self, q: Tensor, index: Tensor) -> Tensor:
        """Return the bits of each symbol by the tables in use; beyond `_LARGEST` roughly."""
        bits = self.bits.to(q.device)
        return bits.view(-1)[index.long() * bits.shape[1] + q.abs().clamp_max(_LARGEST).long()]

    def curvature(self, gain: Tensor, quality: Tensor) -> Tensor:
        """Return the cost in bits of a symbol's squared error of one, for an orthonormal transform."""
        weights = quality_lambdas(str(gain.device))[quality].view(-1, *[1] * (gain.ndim - 1))
        return weights * 255**2 / 3 / gain.square()
