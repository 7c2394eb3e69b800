"""Decide from the pixels alone whether to try the screen mode. Integers only, so all machines decide alike.

    find_candidate   a cheap test, which most photographs do not pass
    most_bytes       the largest size of a screen stream: about the bytes that the latent of the picture would take

The bytes of a real latent depend on the encoder, and so on the device. Therefore `most_bytes` estimates them from the
bits of the picture's 8x8 Hadamard coefficients.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.config import HIGH_PX
from models.picture_array import Pixels

LEAST_SHARE_PERCENT = 45
"""The least share of pixels of a candidate that equal one of four neighbours. Measured: 84 of 1,433 photographs reach
it, with flat skies or backgrounds, and 29 of the 30 synthetic pictures in tests/models/screen_pictures.py."""
FLOOR_BYTES, CEILING_BYTES = 1000, 36_000
"""Limits of the estimate (measured): latents of such pictures take 1.3 to 45 kB at the default quality, and those of
dense text 37 kB."""

_BLOCK = 8
_STEP = 24
"""The quantisation step of the luma coefficients (measured). The step of the colour differences is twice as large."""
_LARGEST = 2 * 8 * 255 + 1


def find_candidate(pixels: Pixels) -> bool:
    """Return whether enough pixels equal a neighbour to try the screen mode."""
    colours = _pack_colours(pixels)
    inner = colours[1:, 1:-1]
    equal = inner == colours[1:, :-2]
    equal |= inner == colours[:-1, 1:-1]
    equal |= inner == colours[:-1, :-2]
    equal |= inner == colours[:-1, 2:]
    return 100 * int(np.count_nonzero(equal)) >= LEAST_SHARE_PERCENT * inner.size


def most_bytes(pixels: Pixels) -> int:
    """Return the largest size that a screen stream may have: about the bytes of the latent (10 ms)."""
    samples = pixels.astype(np.int32)
    red, green, blue = samples[..., 0], samples[..., 1], samples[..., 2]
    bits = _bits((red + 2 * green + blue) >> 2, _STEP)
    bits += _bits(red - green, 2 * _STEP) + _bits(blue - green, 2 * _STEP)
    return min(FLOOR_BYTES + bits * 3 // 32, CEILING_BYTES)


def _pack_colours(pixels: Pixels) -> NDArray[np.uint32]:
    """Return pixels (H, W, 3) as colours (H, W) of the form 0xRRGGBB."""
    samples = pixels.astype(np.uint32)
    colours = samples[..., 0] << 16 | samples[..., 1] << 8 | samples[..., 2]
    return colours.astype(np.uint32, copy=False)


def _bits(plane: NDArray[np.int32], step: int) -> int:
    """Return the bits of an Elias gamma code of the coefficients: 2 log2(|c| / step) + 5 for each one that is not 0."""
    sizes = np.array([0] + [2 * value.bit_length() + 3 for value in range(1, _LARGEST)])
    return int(sizes[_coefficients(plane) // step].sum())


def _coefficients(plane: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the magnitudes of the 8x8 Hadamard coefficients. The means of blocks are differences."""
    side = HIGH_PX // _BLOCK
    blocks = plane.reshape(side, _BLOCK, side, _BLOCK).transpose(0, 2, 1, 3)
    for axis in (2, 3):
        blocks = _transform(blocks, axis)
    blocks >>= 3
    means = blocks[:, :, 0, 0].copy()
    blocks[:, 1:, 0, 0] -= means[:, :-1]
    blocks[1:, 0, 0, 0] -= means[:-1, 0]
    return np.abs(blocks)


def _transform(blocks: NDArray[np.int32], axis: int) -> NDArray[np.int32]:
    """Return the Hadamard transform of eight values along an axis, by three steps of sums and differences."""
    shape = blocks.shape
    for half in (4, 2, 1):
        pairs = blocks.reshape(*shape[:axis], -1, 2, half, *shape[axis + 1 :])
        first, second = np.take(pairs, 0, axis + 1), np.take(pairs, 1, axis + 1)
        blocks = np.stack([first + second, first - second], axis + 1).reshape(shape)
    return blocks
