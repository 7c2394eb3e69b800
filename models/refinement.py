"""A better latent of one picture, searched for at encode time: what is stored stays readable whatever is found here.

The latent v (in symbol steps) follows the gradient of bits + lambda * distortion through rounding (straight-through),
means and head, z being kept: so scale indexes stay, and a step costs one pass forward and one back. It starts where the
encoder's rounding has put it. A step in v is the gradient over the curvature that squared error has if the transform is
orthonormal (rounding.py), so that symbols move as far as their own gain is worth and most stay. The best integers seen,
by the bits of the tables in use, are kept. Cf. Campos et al. 2019 (arXiv 1905.08500), Yang et al. 2020 (2006.04240).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from models.layers import quality_lambdas, round_straight
from models.means import Checkerboard
from models.perceptual import distortion

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from models.hyperprior import Hyperprior, Quantised
    from models.rounding import Rounding

_RATE, _MOMENTUM, _LONGEST = 0.02, 0.8, 0.2
"""Step in units of gradient over curvature, its momentum, and the longest step in symbols (measured, see LOG.md)."""
_INSIDE = 0.49
"""Of a symbol's step: still rounds to the same integer."""
_TOO_FAR = 1.004
"""A loss above the best one by this factor sends the search back."""


@dataclass(frozen=True)
class Sought:
    """What is refined, for whom: the picture x (1, 3, S, S), its latent, its start, and who will decode it."""

    x: Tensor
    y: Tensor
    start: Quantised
    quality: int
    hyperprior: Hyperprior
    head: nn.Module
    rounding: Rounding
    perceptual: float


@dataclass(frozen=True)
class _Judged:
    loss: Tensor
    bits: float
    coded: Quantised


@dataclass(frozen=True)
class _Place:
    """The best place seen: its loss in bits, where it is, the slope there, and what is coded."""

    bits: float
    v: Tensor
    slope: Tensor
    coded: Quantised


class Refinement:
    """A search in slices: `step` until `done`, or for as long as there is time; `bitstream` at any moment."""

    def __init__(self, sought: Sought, *, steps: int, write: Callable[[Quantised], bytes]) -> None:
        """`write` makes the bitstream of what is coded."""
        self.steps = 0
        self._last = steps
        self._sought, self._write = sought, write
        self._weight = float(quality_lambdas()[sought.quality]) * sought.x[0, 0].numel()
        hyperprior = sought.hyperprior
        self._quality = torch.tensor([sought.quality], device=sought.x.device)
        with torch.no_grad():
            self._gain = hyperprior.gain(self._quality)
            self._h1 = hyperprior.indexes.risen(sought.start.z_hat)
            decoded = sought.start.y_hat * self._gain
            # half way to the encoder's own value: rounds to the start, and remembers which way it was rounded, though
            # the encoder's rounding may have gone more than one integer down
            self._v = decoded + (0.5 * (sought.y * self._gain - decoded)).clamp(-_INSIDE, _INSIDE)
        self._speed = torch.zeros_like(self._v)
        self._board = Checkerboard.of(self._v)
        self._best = _Place(float("inf"), self._v, slope=self._speed, coded=sought.start)
        self._rate = _RATE

    @property
    def done(self) -> bool:
        """Whether all steps are made."""
        return self.steps >= self._last

    def bitstream(self) -> bytes:
        """The best found so far."""
        return self._write(self._best.coded)

    def step(self) -> None:
        """Judge where the search stands, then move: a pass forward and a pass back. Nothing when done."""
        if self.done:
            return
        with torch.enable_grad():
            v = self._v.detach().requires_grad_()
            judged = self._judged(*self._rounded(v))
            judged.loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        assert v.grad is not None, "every symbol takes part in the loss"
        if judged.bits < self._best.bits:
            self._best = _Place(judged.bits, self._v, slope=v.grad, coded=judged.coded)
        self._move(v.grad, lost=judged.bits > _TOO_FAR * self._best.bits)
        self.steps += 1

    def _rounded(self, v: Tensor) -> tuple[Tensor, Tensor]:
        board, index = self._board, self._sought.start.index

        def symbols(mu: Tensor, places: Tensor) -> Tensor:
            return round_straight(board.take(v, places) - mu) * (board.take(index, places) >= 1)

        (q, mu), (q_others, mu_others) = self._sought.hyperprior.two_passes(self._h1, self._quality, board, symbols)
        return board.joined(q, q_others), board.joined(mu, mu_others)

    def _judged(self, q: Tensor, mu: Tensor) -> _Judged:
        """The loss by the smooth likelihoods, which have slopes; and by the tables' own bits, which decide."""
        sought = self._sought
        index, y_hat = sought.start.index, (q + mu) / self._gain
        x_hat = sought.head(y_hat, quality=self._quality, deviation=sought.hyperprior.deviation)
        weighed = self._weight * distortion(x_hat, sought.x, perceptual=sought.perceptual).sum()
        loss = weighed - (torch.log2(sought.hyperprior.symbols.mass(q, index)) * (index >= 1)).sum()
        found = q.detach()
        bits = float(weighed.detach()) + float((sought.rounding.cost(found, index) * (index >= 1)).sum())
        return _Judged(loss, bits, replace(sought.start, q=found, y_hat=y_hat.detach()))

    def _move(self, slope: Tensor, *, lost: bool) -> None:
        if lost:  # too fast for this picture: go back, and on at half the pace
            self._v, slope = self._best.v, self._best.slope
            self._speed, self._rate = torch.zeros_like(self._v), self._rate / 2
        curvature = 2 * self._sought.rounding.curvature(self._gain, self._quality)
        self._speed = _MOMENTUM * self._speed + slope / curvature
        pace = self._rate * (1 - self.steps / self._last)
        self._v = self._v - (pace * self._speed).clamp(-_LONGEST, _LONGEST)
