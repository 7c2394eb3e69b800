"""Distortion that is trained for: squared error, and SSIMULACRA2 made differentiable.

The formula is that of the `ssimulacra2` package (Sneyers 2022): XYB colour, six scales, and on each the loss of
structure, the artefacts and the lost detail, in the mean and in the fourth power. What is left out is its last
polynomial, which is monotone. Maps are read on every second place of every second row, which is enough for a gradient;
blurs are products with a band matrix, which a processor does faster than a convolution of three channels (a step of
training takes 0.2 s more, where MS-SSIM took 0.3 s, measured).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from ssimulacra2 import ssimulacra2 as formula
from torch import Tensor
from torch.nn import functional as F

_FACTOR = 10.0
"""Squared error (8-bit units) that weighs as much as one unit of `ssimulacra2_error`: what an extra bit saves of the
one over what it saves of the other is 9.0 to 10.6 at qualities 16 to 60 of the released codec (measured on validation
pictures), so both parts of a mixture ask for the same rate."""
_SCALES = 6
_LINEAR_UNTIL = 0.04045
_SIGMA_PX, _RADIUS_PX = 1.5, 5
_SMALLEST_SIDE_PX = 16
_STEADY = 1e-6
"""Keeps the fourth root's slope finite where two pictures agree."""


@dataclass(frozen=True)
class _Plane:
    """One scale of one picture: XYB on the sampled places, its local mean and the local mean of its square."""

    whole: Tensor
    sampled: Tensor
    mean: Tensor
    square: Tensor


def distortion(x_hat: Tensor, x: Tensor, *, perceptual: float) -> Tensor:
    """(B,) over the area of x, which may be smaller than x_hat, in squared error of 8-bit units.

    (1 - perceptual) * 255^2 MSE + perceptual * 10 * `ssimulacra2_error`.
    """
    cropped = x_hat[:, :, : x.shape[2], : x.shape[3]]
    squared = (cropped - x).square().flatten(1).mean(1) * 255**2
    if not perceptual:
        return squared
    return (1 - perceptual) * squared + perceptual * _FACTOR * ssimulacra2_error(cropped, x)


def ssimulacra2_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Weighted error (B,) of x_hat against x, both (B, 3, H, W) in 0..1: 0 where they agree, 2.8 at a score of 70."""
    ours, theirs = _linear_light(x_hat), _linear_light(x)
    error = x_hat.new_zeros(len(x))
    scale = 0
    while scale < _SCALES and min(ours.shape[2:]) >= _SMALLEST_SIDE_PX:
        with torch.no_grad():
            reference = _plane(theirs)
        error = error + _scale_error(reference, _plane(ours), scale)
        ours, theirs, scale = F.avg_pool2d(ours, 2), F.avg_pool2d(theirs, 2), scale + 1
    return error


def _scale_error(reference: _Plane, decoded: _Plane, scale: int) -> Tensor:
    crossed = _blurred(reference.whole * decoded.whole)
    likeness = 1 - (reference.mean - decoded.mean).square()
    covariance = 2 * (crossed - reference.mean * decoded.mean) + 0.0009
    variances = reference.square - reference.mean.square() + decoded.square - decoded.mean.square() + 0.0009
    structure = (1 - likeness * covariance / variances).clamp_min(0)
    edges = (1 + (decoded.sampled - decoded.mean).abs()) / (1 + (reference.sampled - reference.mean).abs()) - 1
    maps = torch.stack([structure, edges.clamp_min(0), (-edges).clamp_min(0)], dim=1)  # (B, 3 kinds, 3 colours, H, W)
    means = maps.mean((3, 4))
    fourth = (maps.square().square().mean((3, 4)) + _STEADY**4).sqrt().sqrt()
    weights = _weights().to(maps.device)[:, scale]  # (colour, norm, kind)
    both = torch.stack([means, fourth], dim=1).permute(0, 3, 1, 2)  # (B, colour, norm, kind)
    return (both * weights).flatten(1).sum(1)


def _plane(linear: Tensor) -> _Plane:
    whole = _positive_xyb(linear)
    return _Plane(whole, whole[:, :, ::2, ::2], _blurred(whole), _blurred(whole * whole))


def _blurred(planes: Tensor) -> Tensor:
    """Gaussian of 1.5 px, read at every second place of every second row."""
    rows, columns = (_band(side, str(planes.device)) for side in planes.shape[2:])
    blurred: Tensor = torch.matmul(torch.matmul(rows, planes), columns.T)
    return blurred


@cache
def _band(side: int, device: str) -> Tensor:
    """(side / 2, side): row i blurs around place 2 i; the kernel is renewed at the borders."""
    offset = torch.arange(side)[None] - 2 * torch.arange(-(-side // 2))[:, None]
    kernel = torch.exp(-0.5 * (offset / _SIGMA_PX) ** 2) * (offset.abs() <= _RADIUS_PX)
    return (kernel / kernel.sum(1, keepdim=True)).to(device)


@cache
def _weights() -> Tensor:
    """The package's weights, (colour, scale, norm, kind), its final factor included."""
    return torch.tensor(formula.weights * 0.9562382616834844, dtype=torch.float32).view(3, _SCALES, 2, 3)


def _linear_light(x: Tensor) -> Tensor:
    """sRGB -> linear light (IEC 61966-2-1)."""
    x = x.contiguous().clamp(0, 1)
    return torch.where(x <= _LINEAR_UNTIL, x / 12.92, ((x.clamp_min(_LINEAR_UNTIL) + 0.055) / 1.055).pow(2.4))


def _positive_xyb(linear: Tensor) -> Tensor:
    """Linear light -> XYB, scaled and shifted as the metric wants it."""
    matrix = torch.tensor(formula.kOpsinAbsorbanceMatrix, dtype=linear.dtype, device=linear.device).view(3, 3)
    bias = formula.kB0
    mixed = torch.einsum("oc,bchw->bohw", matrix, linear) + bias
    response = mixed.pow(1 / 3) - math.pow(bias, 1 / 3)
    first, second, blue = response.unbind(1)
    bright = 0.5 * (first + second)
    return torch.stack([7 * (first - second) + 0.42, bright + 0.01, blue - bright + 0.55], dim=1)
