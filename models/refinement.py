"""Search for better latents of one or several pictures at encode time, by stochastic Gumbel annealing.

    v = y gain --> r = v - mu --> floor(r) + s, s drawn from 0..1 --+--> bits by the scale indexes
    ^                ^ both passes of means                         +--> y_hat --> heads --> distortion of each picture
    +---------------------- Adam <----- gradient of bits + lambda * distortion ------------------------------+

s is a relaxed binary variable: sigmoid((log-odds + logistic noise) / tau) with log-odds
(atanh(f) - atanh(1 - f)) / tau, where f is the fractional part of r. The temperature tau falls during the search, but
stays high enough that s can still flip; at the end r is rounded (Yang, Bamler and Mandt 2020, arXiv 2006.04240). z and
the scale indexes stay those of the plain encode, so every result is a valid stream. A step costs one forward and one
backward pass through the means and the heads. The constants were chosen on validation pictures (LOG.md): higher
learning rates and lower temperatures are worse.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch

from models.hyperprior import Quantised
from models.layers import quality_lambdas
from models.means import Checkerboard

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from models.hyperprior import Hyperprior
    from models.perceptual import Original
    from models.rounding import Rounding

VERSION = 1
"""Version of the search. Raise it with each change of the results, because evaluations cache streams by it."""
_TEMPERATURES = (0.5, 0.22)
"""The temperature tau at the first and at the last step; it falls exponentially in between."""
_LAST_RATE = 0.02
"""Adam's learning rate at the last step, as a fraction of its first one."""
_INSIDE = 0.49
"""Largest distance of the initial v from its quantised value, in quantisation steps; from 0.5 on it would be rounded to
another symbol."""
_FEW_STEPS = 80
_PERCEPTUAL = 0.1
"""Share of SSIMULACRA2 in the distortion. 0.05 instead saves 0.4 % more bytes at equal PSNR and 4 % fewer at equal
SSIMULACRA2."""
_PERCEPTUAL_EVERY = 2
"""SSIMULACRA2 is computed in every second step, with twice the weight, because it is half of a step's work. The bytes
saved change by 0.2 % at most."""
_WITHIN, _DRAWN_WITHIN = 1e-4, 1e-6
"""Fractions (first) and uniform random numbers (second) are clamped this far from 0 and 1 for finite log-odds."""


@dataclass(frozen=True)
class _Pace:
    """Adam's learning rate, in quantisation steps per search step: constant at first, then falling linearly.

    `flat_share` is the fraction of the steps with the constant rate.
    """

    rate: float
    flat_share: float

    @classmethod
    def of(cls, steps: int) -> _Pace:
        """Return the learning rates for a search of this many steps.

        Short searches need a higher rate: 40 steps save 4.6 % of the bytes at equal PSNR with the rate chosen for short
        searches, and 3.8 % with the one for 160 steps (LOG.md).
        """
        return cls(rate=0.03, flat_share=0.8) if steps <= _FEW_STEPS else cls(rate=0.02, flat_share=0.5)

    def at(self, share: float) -> float:
        """Return the learning rate after this fraction (0..1) of the steps."""
        return self.rate * min(1.0, (1 - share) / (1 - self.flat_share) + _LAST_RATE)


@dataclass(frozen=True)
class Reader:
    """A head that the search serves: its network, the reference pictures, and the weight of its distortion."""

    head: nn.Module
    original: Original
    weight: float


@dataclass(frozen=True)
class SearchTask:
    """The input of a search: latents y (B, N, H, W), their ordinary quantisation `start`, qualities (B,) and heads."""

    y: Tensor
    start: Quantised
    quality: Tensor
    hyperprior: Hyperprior
    readers: tuple[Reader, ...]
    rounding: Rounding
    picture_px: int
    """Number of pixels of a picture, by which the loss multiplies the mean error to compare it with the bits."""


class Refinement:
    """A search for better latents: call `step` until `is_done`; `bitstreams` returns the results at any time."""

    def __init__(self, sought: SearchTask, *, steps: int, write: Callable[[Quantised, int], bytes]) -> None:
        """Start a search of `steps` steps; `write` makes a bitstream of a `Quantised` batch of one and its quality."""
        self.steps = 0
        self._last = steps
        self._sought, self._write = sought, write
        hyperprior, device = sought.hyperprior, sought.y.device
        # a fixed seed, so that a repeated search gives the same latent
        self._noise = torch.Generator(device).manual_seed(0)
        self._weight = quality_lambdas(str(device))[sought.quality] * sought.picture_px
        with torch.no_grad():
            self._gain = hyperprior.gain(sought.quality)
            self._h1 = hyperprior.indexes.upsample(sought.start.z_hat)
        self._board = Checkerboard.of(sought.y)
        self._v = self._start_values().requires_grad_()
        self._pace = _Pace.of(steps)
        self._adam = torch.optim.Adam([self._v], lr=self._pace.rate)

    @property
    def is_done(self) -> bool:
        """Return whether the search has made all its steps."""
        return self.steps >= self._last

    def step(self) -> None:
        """Make one optimiser step for all latents: a forward and a backward pass. Do nothing if `is_done`."""
        if self.is_done:
            return
        share = self.steps / self._last
        first, last = _TEMPERATURES
        tau = first * (last / first) ** share
        self._adam.param_groups[0]["lr"] = self._pace.at(share)
        self._adam.zero_grad()
        with torch.enable_grad():
            q, mu = self._code(lambda residual: _relax(residual, tau, self._noise))
            perceptual = 0.0 if self.steps % _PERCEPTUAL_EVERY else _PERCEPTUAL_EVERY * _PERCEPTUAL
            loss = (self._smooth_bits(q) + self._distortion(q, mu, perceptual=perceptual)).sum()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
        self._adam.step()
        self.steps += 1

    @torch.no_grad()
    def bitstreams(self) -> list[bytes]:
        """Return a bitstream for each picture: of its searched latent, or of `start` if that has the lower loss."""
        sought = self._sought
        q, mu = self._code(lambda residual: torch.floor(residual + 0.5))
        better = self._judge(q, mu) < self._judge(sought.start.q, sought.start.y_hat * self._gain - sought.start.q)
        chosen = torch.where(better[:, None, None, None], q, sought.start.q)
        coded = replace(sought.start, q=chosen)
        return [self._write(_one_of(coded, row), int(quality)) for row, quality in enumerate(sought.quality)]

    @torch.no_grad()
    def _start_values(self) -> Tensor:
        """Return the initial v: the quantised y_hat gain moved halfway towards y gain, by at most 0.49 steps."""
        decoded = self._sought.start.y_hat * self._gain
        return decoded + (0.5 * (self._sought.y * self._gain - decoded)).clamp(-_INSIDE, _INSIDE)

    def _code(self, rounded: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Return q and mu (B, N, H, W) of the present v after both passes of means; `rounded` rounds the residuals."""
        board, index = self._board, self._sought.start.index

        def symbols(mu: Tensor, places: Tensor) -> Tensor:
            return rounded(board.take(self._v, places) - mu) * (board.take(index, places) >= 1)

        halves = self._sought.hyperprior.two_passes(self._h1, self._sought.quality, board, symbols)
        (q, mu), (q_others, mu_others) = halves
        return board.join(q, q_others), board.join(mu, mu_others)

    def _distortion(self, q: Tensor, mu: Tensor, *, perceptual: float) -> Tensor:
        """Return the weighted sum (B,) of the distortions by all heads, times lambda: in units of bits."""
        sought, y_hat = self._sought, (q + mu) / self._gain
        errors = torch.zeros_like(self._weight)
        for reader in sought.readers:
            x_hat = reader.head(y_hat, quality=sought.quality, deviation=sought.hyperprior.deviation)
            found = reader.original.distortion(x_hat.float(), perceptual=perceptual)
            errors = errors + reader.weight * found
        return self._weight * errors

    def _smooth_bits(self, q: Tensor) -> Tensor:
        """Return the bits (B,) of q by the differentiable likelihoods, without the bits of z, which do not change."""
        index = self._sought.start.index
        bits = -torch.log2(self._sought.hyperprior.symbols.mass(q, index)) * (index >= 1)
        return bits.flatten(1).sum(1)

    def _judge(self, q: Tensor, mu: Tensor) -> Tensor:
        """Return the loss (B,) with the bits of the integer CDF tables, for comparing two codes of each picture."""
        index = self._sought.start.index
        bits = self._sought.rounding.cost(q, index) * (index >= 1)
        return bits.flatten(1).sum(1) + self._distortion(q, mu, perceptual=_PERCEPTUAL)


def _relax(residual: Tensor, tau: float, noise: torch.Generator) -> Tensor:
    """Return floor(residual) + s, where s in 0..1 is a random relaxed binary variable at temperature `tau`."""
    low = torch.floor(residual.detach())
    fraction = (residual - low).clamp(_WITHIN, 1 - _WITHIN)
    odds = (torch.atanh(fraction) - torch.atanh(1 - fraction)) / tau
    drawn = torch.rand(residual.shape, generator=noise, device=residual.device).clamp(_DRAWN_WITHIN, 1 - _DRAWN_WITHIN)
    return low + torch.sigmoid((odds + torch.logit(drawn)) / tau)


def _one_of(coded: Quantised, row: int) -> Quantised:
    return Quantised(*(getattr(coded, field.name)[row : row + 1] for field in fields(coded)))
