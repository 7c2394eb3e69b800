"""Code the three samples of a colour that no guess matched, bit by bit, most significant bit first. Compiled by numba.

    PALETTE  the samples themselves: first green, then red given green, then blue given both
    SMOOTH   differences from the gradient predictor of LOCO-I (Weinberger, Seroussi, Sapiro 2000), green first; the
             errors of the samples coded before correct the predictions of red and blue

The bits of a sample are coded with a tree of slots: one slot for each prefix of bits. What is known of the colour
selects the tree.

numba's cache checks only the file of the compiled loop, pixel_model.py. After a change here or in binary_coder.py, save
that file too; otherwise numba uses the old machine code.
"""

from __future__ import annotations

from numba import njit

from models.screen.binary_coder import I64, U8, code_bit
from models.screen.pixel_rows import STRIDE

PALETTE, SMOOTH = 0, 1
MODES = (PALETTE, SMOOTH)
TREE = 256
"""The number of slots in a tree: one for each prefix of the eight bits of a sample."""
_RED, _BLUE, _SMOOTH_RED, _SMOOTH_BLUE = 8, 264, 8, 16
TREES = _BLUE + 256
_LARGEST = 255
_CHANGES = (2, 6, 16, 40, 100)
"""The bounds between the classes of `_activity` (assumed)."""


@njit(inline="never")
def _predict(west: int, north: int, north_west: int) -> int:
    """Return the gradient predictor of LOCO-I."""
    if north_west >= max(west, north):
        return min(west, north)
    if north_west <= min(west, north):
        return max(west, north)
    return west + north - north_west


@njit(inline="never")
def _round_off(difference: int, prediction: int, tolerance: int) -> int:
    """Return the multiple of 2 tolerance + 1 that is nearest to a difference and keeps the sample in 0..255."""
    if tolerance == 0:
        return difference
    step = 2 * tolerance + 1
    rounded = (abs(difference) + tolerance) // step * step
    rounded = -rounded if difference < 0 else rounded
    if prediction + rounded > _LARGEST:
        return rounded - step
    return rounded + step if prediction + rounded < 0 else rounded


@njit(inline="never")
def _code_sample(coder: I64, buffer: U8, tree: int, sample: int, prediction: int, tolerance: int) -> int:
    """Code a sample as its difference from a prediction, modulo 256, and return the sample that was coded."""
    value = _round_off(sample - prediction, prediction, tolerance) & 255
    node = 1
    for place in range(7, -1, -1):
        node = 2 * node + code_bit(coder, buffer, tree + node, value >> place & 1)
    return (node + prediction) & 255


@njit(inline="never")
def _activity(pixels: I64, at: int) -> int:
    """Return the class (one of 6) of how much the green samples around a pixel differ."""
    west, north, north_west = pixels[at - 1], pixels[at - STRIDE], pixels[at - STRIDE - 1]
    change = abs((west >> 8 & 255) - (north_west >> 8 & 255)) + abs((north >> 8 & 255) - (north_west >> 8 & 255))
    activity = 0
    for bound in _CHANGES:
        activity += change >= bound
    return activity


@njit(inline="never")
def _predict_sample(pixels: I64, at: int, shift: int) -> int:
    west, north, north_west = pixels[at - 1], pixels[at - STRIDE], pixels[at - STRIDE - 1]
    return _predict(west >> shift & 255, north >> shift & 255, north_west >> shift & 255)


@njit(inline="never")
def code_smooth(coder: I64, buffer: U8, trees: int, pixels: I64, at: int, colour: int, tolerance: int) -> int:
    """Code a colour as differences from its predictions, and return the coded colour."""
    activity, expected = _activity(pixels, at), _predict_sample(pixels, at, 8)
    green = _code_sample(coder, buffer, trees + TREE * activity, colour >> 8 & 255, expected, tolerance)
    off_green = green - expected
    expected = _predict_sample(pixels, at, 16)
    by_green = min(255, max(0, expected + off_green))
    red = _code_sample(coder, buffer, trees + TREE * (_SMOOTH_RED + activity), colour >> 16 & 255, by_green, tolerance)
    by_both = min(255, max(0, _predict_sample(pixels, at, 0) + ((off_green + red - expected) >> 1)))
    tree = trees + TREE * (_SMOOTH_BLUE + 2 * activity + (red != by_green))
    return red << 16 | green << 8 | _code_sample(coder, buffer, tree, colour & 255, by_both, tolerance)


@njit(inline="never")
def code_palette(coder: I64, buffer: U8, trees: int, colour: int, tolerance: int) -> int:
    """Code the samples of a colour directly, and return the coded colour."""
    green = _code_sample(coder, buffer, trees, colour >> 8 & 255, 0, tolerance)
    red = _code_sample(coder, buffer, trees + TREE * (_RED + green), colour >> 16 & 255, 0, tolerance)
    tree = trees + TREE * (_BLUE + (7 * red + 13 * green & 255))
    return red << 16 | green << 8 | _code_sample(coder, buffer, tree, colour & 255, 0, tolerance)
