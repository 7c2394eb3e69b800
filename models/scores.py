"""Scores of a decoded picture against its reference: PSNR and SSIMULACRA2. No I/O.

PSNR is over the three sRGB channels of 8-bit pictures together.

SSIMULACRA2 uses the functions and weights of the `ssimulacra2` package. That package reads files, computes in float64
and repeats the reference's half for each comparison. Here the reference's half is computed once and the blur is in
float32, which takes 50 ms instead of 115 at 344 px, and 11 instead of 24 at 172 px (measured, one core). A test
compares the two: the scores differ by less than 0.05.
"""

from dataclasses import dataclass

import numpy as np
import ssimulacra2.ssimulacra2 as formula
from numpy.typing import NDArray
from scipy import ndimage

from models.picture_array import Pixels

Plane = NDArray[np.float32]  # (h, w, 3): XYB shifted to positive values, or local means of it

PEAK = 255.0
# PSNR reported for two identical pictures instead of infinity, which plots and JSON cannot hold (assumed).
IDENTICAL_PSNR_DB = 100.0

_BLUR_SIGMA_PX = 1.5
_BLUR_RADIUS_PX = 5  # int(3.33 * sigma + 0.5), as in the ssimulacra2 package: gaussian_filter(truncate=3.33)
_SMALLEST_SIDE_PX = 8


class ScoreError(ValueError):
    """The two pictures have different shapes and cannot be compared."""


@dataclass(frozen=True)
class ScoredFile:
    """Size and scores of one encoded file of a picture, or of one bitstream decoded to one size."""

    quality: int
    size_bytes: int
    psnr_db: float
    ssimulacra2: float


def psnr_db(reference: Pixels, decoded: Pixels) -> float:
    _same_shape(reference, decoded)
    error = reference.astype(np.float64) - decoded
    mse = float(np.mean(error * error))
    return IDENTICAL_PSNR_DB if mse == 0 else float(10 * np.log10(PEAK * PEAK / mse))


class Ssimulacra2:
    """Scores decoded pictures by SSIMULACRA2 against one reference, whose scales are computed once."""

    def __init__(self, reference: Pixels) -> None:
        self._reference = reference
        self._scales = _pyramid(reference)

    def score(self, decoded: Pixels) -> float:
        _same_shape(self._reference, decoded)
        total = formula.Msssim()
        for ours, theirs in zip(self._scales, _pyramid(decoded), strict=True):
            crossed = _blur(ours.xyb * theirs.xyb)
            scale = formula.MsssimScale()
            scale.avg_ssim = formula.ssim_map(ours.mean, theirs.mean, ours.square, theirs.square, crossed)
            scale.avg_edgediff = formula.edge_diff_map(ours.xyb, ours.mean, theirs.xyb, theirs.mean)
            total.scales.append(scale)
        # A picture under about 225 px has fewer than six scales. The package then takes the weights of the wrong
        # scale for two of the three channels (JPEG quality 97 at 172 px scores 61 instead of 89). With empty scales
        # appended up to six, each scale gets its own weights, and the empty ones add nothing to the score.
        total.scales.extend(formula.MsssimScale() for _ in range(formula.kNumScales - len(total.scales)))
        return float(total.score())


@dataclass(frozen=True)
class _Scale:
    xyb: Plane
    mean: Plane
    square: Plane  # local mean of the squared XYB values


def _pyramid(picture: Pixels) -> tuple[_Scale, ...]:
    linear = _linear_light()[picture]
    scales: list[_Scale] = []
    while len(scales) < formula.kNumScales and min(linear.shape[:2]) >= _SMALLEST_SIDE_PX:
        xyb = formula.make_positive_xyb(formula.linear_rgb_to_xyb(linear)).astype(np.float32)
        scales.append(_Scale(xyb=xyb, mean=_blur(xyb), square=_blur(xyb * xyb)))
        linear = formula.downsample(linear, 2, 2)
    return tuple(scales)


def _linear_light() -> NDArray[np.float64]:
    """Return a table (256,) from 8-bit sRGB levels to linear light in 0..1."""
    levels: NDArray[np.float64] = formula.srgb_to_linear(np.arange(256))
    return levels


def _blur(planes: Plane) -> Plane:
    """Blur (h, w, 3) by the Gaussian of SSIMULACRA2, padded by zeros vertically and by reflection horizontally.

    The `ssimulacra2` package pads in the same way.
    """
    offsets = np.arange(-_BLUR_RADIUS_PX, _BLUR_RADIUS_PX + 1)
    kernel = np.exp(-0.5 * (offsets / _BLUR_SIGMA_PX) ** 2)
    kernel /= kernel.sum()
    # The filter is 2.5 times as fast on contiguous colour planes, so the colours go first (measured).
    channels = np.ascontiguousarray(np.moveaxis(planes, 2, 0))
    rows = ndimage.correlate1d(channels, kernel, axis=1, mode="constant")
    blurred: Plane = np.moveaxis(ndimage.correlate1d(rows, kernel, axis=2, mode="reflect"), 0, 2)
    return blurred


def _same_shape(reference: Pixels, decoded: Pixels) -> None:
    if reference.shape != decoded.shape:
        raise ScoreError(f"cannot score a picture of shape {decoded.shape} against a reference of {reference.shape}")
