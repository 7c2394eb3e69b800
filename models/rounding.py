"""Rate-distortion optimised rounding, in the encoder only: a decoder reads any integer symbols.

A symbol v becomes the nearest integer q, or the integer one step nearer to zero, whichever has the smaller

    bits(q | scale index) + strength * lambda 255^2 / (3 gain^2) (v - q)^2

The second term is lambda times the squared error that this symbol causes in the pixels, if the transform is orthonormal
(as the initial one is). The bits are those of the CDF tables in use. Compare the RDOQ of HEVC's reference encoder
(Karczewicz 2008, VCEG-AH21).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.entropy_model import SCALE_COUNT, SymbolModel, support_of
from models.layers import quality_lambdas

_LARGEST = 64
"""Symbols of a larger |q| are rounded to the nearest integer, because there one step hardly changes the bits (derived).
"""


@dataclass(frozen=True)
class Rounding:
    """The rounding rule of one model: `bits` (SCALE_COUNT, 65) by scale index and |q|, and `strength`.

    `strength` is the weight of the squared error: 1 is the trade-off of training, and a smaller one saves more bits.
    """

    bits: Tensor
    strength: float

    @classmethod
    def from_tables(cls, tables: list[Tensor], *, strength: float) -> Rounding:
        """Compute the bits of each |q| from the integer CDF tables of one autoencoder."""
        rows = []
        for index in range(SCALE_COUNT):
            counts, support = tables[index].double(), support_of(index)
            cost = -torch.log2(counts / counts.sum())[support : 2 * support + 1]
            # A |q| beyond the table's support needs an escape, taken here as 8 bits more than the largest |q| in it.
            beyond = cost[-1:].expand(max(0, _LARGEST + 1 - len(cost))) + 8.0
            rows.append(torch.cat([cost, beyond])[: _LARGEST + 1])
        return cls(torch.stack(rows).float(), strength)

    @classmethod
    @torch.no_grad()
    def from_likelihoods(cls, model: SymbolModel, *, strength: float) -> Rounding:
        """Compute the bits of each |q| from the smooth likelihoods, for use in training, before tables exist."""
        device = model.share.device
        index = torch.arange(SCALE_COUNT, device=device).float()[:, None]
        q = torch.arange(_LARGEST + 1, device=device).float().expand(SCALE_COUNT, -1)
        return cls(-torch.log2(model.mass(q, index)), strength)

    def to(self, device: str) -> Rounding:
        """Return a copy whose `bits` are on `device`."""
        return replace(self, bits=self.bits.to(device))

    def __call__(self, v: Tensor, *, index: Tensor, gain: Tensor, quality: Tensor) -> Tensor:
        """Return v rounded to integers, held in float32.

        v, index and gain are broadcast against each other; their first dimension is B, and quality is (B,).
        """
        size = v.abs()
        near = torch.floor(size + 0.5)
        low = (near - 1).clamp_min(0)
        saved = self.cost(near, index) - self.cost(low, index)
        lost = self.strength * self.curvature(gain, quality) * ((size - low).square() - (size - near).square())
        q = torch.where((saved > lost) & (near <= _LARGEST), low, near)
        return torch.sign(v) * q

    def cost(self, q: Tensor, index: Tensor) -> Tensor:
        """Return the bits of each symbol q at its scale index; a |q| above 64 costs as much as 64."""
        bits = self.bits.to(q.device)
        return bits.view(-1)[index.long() * bits.shape[1] + q.abs().clamp_max(_LARGEST).long()]

    def curvature(self, gain: Tensor, quality: Tensor) -> Tensor:
        """Return lambda 255^2 / (3 gain^2): the cost in bits of a squared error of one quantisation step.

        It assumes an orthonormal transform.
        """
        weights = quality_lambdas(str(gain.device))[quality].view(-1, *[1] * (gain.ndim - 1))
        return weights * 255**2 / 3 / gain.square()
