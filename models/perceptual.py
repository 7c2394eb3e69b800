"""The distortion of training and of the search for better latents: squared error, and a differentiable SSIMULACRA2.

The formula is that of the `ssimulacra2` package (Sneyers 2022): XYB colour and six scales, with three error maps per
scale (SSIM, artefacts, lost detail), each reduced by its mean and its 4-norm. The final monotone polynomial is left
out. Maps are sampled at every second column of every second row, which suffices for a gradient. Blurs are products with
a band matrix, which a CPU computes faster than a convolution of three channels. This error adds 0.2 s to a training
step on a CPU, where MS-SSIM added 0.3 s (measured).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from ssimulacra2 import ssimulacra2 as formula
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

_FACTOR = 10.0
"""Squared error (in squared 8-bit levels) that weighs as much as one unit of `ssimulacra2_error`. At qualities 16 to 60
of the released codec one more bit reduces the squared error by 9.0 to 10.6 times as much as `ssimulacra2_error`
(measured on validation pictures). With this factor the rate stays the same for any mixture of the two."""
_ABSORBANCE = [tuple(formula.kOpsinAbsorbanceMatrix[row : row + 3].tolist()) for row in (0, 3, 6)]
"""Rows of the matrix from linear RGB to the three cone responses of XYB."""
_FINAL_FACTOR = 0.9562382616834844
_SCALES = 6
_LINEAR_UNTIL = 0.04045
_SIGMA_PX, _RADIUS_PX = 1.5, 5
_SMALLEST_SIDE_PX = 16
_STEADY = 1e-6
"""Added inside the fourth root (to the fourth power), so that its gradient stays finite where two pictures agree."""


@dataclass(frozen=True)
class _Plane:
    """One scale of a batch of pictures: XYB at all pixels (`whole`) and at every second pixel and row (`sampled`).

    `mean` and `square` are the local means (blur) of XYB and of its square at the sampled pixels.
    """

    whole: Tensor
    sampled: Tensor
    mean: Tensor
    square: Tensor

    def repeat(self, times: int) -> _Plane:
        if times == 1:  # a shortcut, because Tensor.repeat(1, ...) would copy the tensors
            return self
        return _Plane(*(part.repeat(times, 1, 1, 1) for part in (self.whole, self.sampled, self.mean, self.square)))


class Error(Protocol):
    """The signature of `ssimulacra2_error` and of `CompiledError`."""

    def __call__(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the errors (k B,) of x_hat (k B, 3, H, W), k versions of each picture of x (B, 3, H, W)."""


def distortion(x_hat: Tensor, x: Tensor, *, perceptual: float, error: Error | None = None) -> Tensor:
    """Return the distortion (k B,) of x_hat (k B, 3, >= H, >= W), k versions of each picture of x (B, 3, H, W).

    It is (1 - perceptual) * 255^2 MSE + perceptual * 10 * `ssimulacra2_error`, in squared 8-bit levels. x_hat is
    cropped to the size of x. `error` replaces `ssimulacra2_error`, for example by a `CompiledError`.
    """
    cropped = x_hat[:, :, : x.shape[2], : x.shape[3]]
    versions = len(cropped) // len(x)
    squared = (cropped - x.repeat(versions, 1, 1, 1)).square().flatten(1).mean(1) * 255**2
    if not perceptual:
        return squared
    return (1 - perceptual) * squared + perceptual * _FACTOR * (error or ssimulacra2_error)(cropped, x)


def ssimulacra2_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the error (k B,) of x_hat (k B, 3, H, W), k versions of each picture of x (B, 3, H, W), by SSIMULACRA2.

    It is the weighted sum before the metric's final polynomial: 0 for equal pictures, 2.8 for a score of 70.
    """
    return error_by_scales(x_hat, x, _scales(x.shape[2], x.shape[3], str(x.device)))


class Original:
    """Reference pictures x (B, 3, H, W), with the parts of SSIMULACRA2 that depend on x alone computed once.

    A comparison with its gradient at 344 px then takes 58 ms of one core instead of 75 (measured, EPYC Zen 4).
    """

    def __init__(self, x: Tensor) -> None:
        """Compute the XYB values and local means of x at all scales."""
        self.x = x
        self._scales = _scales(x.shape[2], x.shape[3], str(x.device))
        self._planes = _planes(x, self._scales)

    def distortion(self, x_hat: Tensor, *, perceptual: float) -> Tensor:
        """Return the distortion (B,) of x_hat (B, 3, >= H, >= W), one version of each picture, as `distortion` does."""
        return distortion(x_hat, self.x, perceptual=perceptual, error=lambda cropped, _x: self._error(cropped))

    def _error(self, x_hat: Tensor) -> Tensor:
        return _error_against(self._planes, x_hat, self._scales)


class CompiledError:
    """`ssimulacra2_error` compiled by torch.compile, for training on a GPU; each new picture size compiles for 30 s."""

    def __init__(self) -> None:
        self._compiled = torch.compile(error_by_scales, dynamic=False, fullgraph=True)

    def __call__(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the errors (k B,) of x_hat (k B, 3, H, W) against x (B, 3, H, W), as `ssimulacra2_error` does."""
        error: Tensor = self._compiled(x_hat, x, _scales(x.shape[2], x.shape[3], str(x.device)))
        return error


def error_by_scales(x_hat: Tensor, x: Tensor, scales: Sequence[Scale]) -> Tensor:
    """Return what `ssimulacra2_error` returns, with the constants of each scale given, as torch.compile needs it."""
    return _error_against(_planes(x, scales), x_hat, scales)


def _error_against(references: Sequence[_Plane], x_hat: Tensor, scales: Sequence[Scale]) -> Tensor:
    ours, error = _linear_light(x_hat), x_hat.new_zeros(len(x_hat))
    for number, (reference, scale) in enumerate(zip(references, scales, strict=True)):
        if number:
            ours = F.avg_pool2d(ours, 2)
        versions = len(ours) // len(reference.whole)
        error = error + _scale_error(reference.repeat(versions), _plane(ours, scale), scale)
    return error


@torch.no_grad()
def _planes(x: Tensor, scales: Sequence[Scale]) -> list[_Plane]:
    linear, found = _linear_light(x), []
    for number, scale in enumerate(scales):
        if number:
            linear = F.avg_pool2d(linear, 2)
        found.append(_plane(linear, scale))
    return found


class Scale(NamedTuple):
    """Constants of one scale of SSIMULACRA2.

    `weights` is (3 colours, 2 norms, 3 error maps); `rows` and `columns` are the vertical and the horizontal blur.
    """

    weights: Tensor
    rows: Tensor
    """(H / 2, H): row i is the blur kernel centred at pixel row 2 i, normalised to sum 1, also at the borders."""
    columns: Tensor


@cache
def _scales(height: int, width: int, device: str) -> tuple[Scale, ...]:
    weights = torch.tensor(formula.weights * _FINAL_FACTOR, dtype=torch.float32).view(3, _SCALES, 2, 3)
    found: list[Scale] = []
    with torch.inference_mode(mode=False):
        while len(found) < _SCALES and min(height, width) >= _SMALLEST_SIDE_PX:
            parts = (weights[:, len(found)].contiguous(), _band(height), _band(width))
            found.append(Scale(*(part.to(device) for part in parts)))
            height, width = height // 2, width // 2
    return tuple(found)


def _band(side: int) -> Tensor:
    offset = torch.arange(side)[None] - 2 * torch.arange(-(-side // 2))[:, None]
    reach = torch.exp(-0.5 * (offset / _SIGMA_PX) ** 2) * (offset.abs() <= _RADIUS_PX)
    return reach / reach.sum(1, keepdim=True)


def _scale_error(reference: _Plane, decoded: _Plane, scale: Scale) -> Tensor:
    crossed = _blur(reference.whole * decoded.whole, scale)
    likeness = 1 - (reference.mean - decoded.mean).square()
    covariance = 2 * (crossed - reference.mean * decoded.mean) + 0.0009
    variances = reference.square - reference.mean.square() + decoded.square - decoded.mean.square() + 0.0009
    structure = (1 - likeness * covariance / variances).clamp_min(0)
    edges = (1 + (decoded.sampled - decoded.mean).abs()) / (1 + (reference.sampled - reference.mean).abs()) - 1
    kinds = (structure, edges.clamp_min(0), (-edges).clamp_min(0))
    means = torch.stack([kind.mean((2, 3)) for kind in kinds], dim=2)  # shape (B, colour, kind of error map)
    fourth = torch.stack([kind.square().square().mean((2, 3)) for kind in kinds], dim=2)
    # shape (B, colour, norm, kind of error map)
    both = torch.stack([means, (fourth + _STEADY**4).sqrt().sqrt()], dim=2)
    return (both * scale.weights).flatten(1).sum(1)


def _plane(linear: Tensor, scale: Scale) -> _Plane:
    whole = _positive_xyb(linear)
    return _Plane(whole, whole[:, :, ::2, ::2], _blur(whole, scale), _blur(whole * whole, scale))


def _blur(planes: Tensor, scale: Scale) -> Tensor:
    """Blur planes (B, 3, H, W) by a Gaussian of sigma 1.5 px; return every second column of every second row."""
    blurred: Tensor = torch.matmul(torch.matmul(scale.rows, planes), scale.columns.T)
    return blurred


def _linear_light(x: Tensor) -> Tensor:
    """Convert sRGB values in 0..1 to linear light (IEC 61966-2-1)."""
    x = x.contiguous().clamp(0, 1)
    return torch.where(x <= _LINEAR_UNTIL, x / 12.92, ((x.clamp_min(_LINEAR_UNTIL) + 0.055) / 1.055).pow(2.4))


def _positive_xyb(linear: Tensor) -> Tensor:
    """Convert linear RGB (B, 3, H, W) to XYB, scaled and shifted to positive values as SSIMULACRA2 does."""
    bias, (red, green, blue) = formula.kB0, linear.unbind(1)
    mixed = torch.stack([r * red + g * green + b * blue + bias for r, g, b in _ABSORBANCE], dim=1)
    response = mixed.pow(1 / 3) - math.pow(bias, 1 / 3)
    first, second, blue = response.unbind(1)
    bright = 0.5 * (first + second)
    return torch.stack([7 * (first - second) + 0.42, bright + 0.01, blue - bright + 0.55], dim=1)
