"""Code the three samples of a colour that no guess has met, bit by bit, most significant first. Compiled by numba.

    PALETTE  as they are: green, then red by green, then blue by both
    SMOOTH   as differences from the gradient predictor of LOCO-I (Weinberger, Seroussi, Sapiro 2000), green first; the
             predictions of red and blue follow the errors of those before

A sample's bits have a tree of slots, one for each beginning. The tree is chosen by what is known.

numba's cache watches the file of the compiled loop alone, pixel_model.py. After a change here or in binary_coder.py,
save that file too, or the old machine code is used.
"""

from __future__ import annotations

from numba import njit

from models.screen.binary_coder import I64, U8, code_bit
from models.screen.pixel_rows import STRIDE

PALETTE, SMOOTH = 0, 1
MODES = (PALETTE, SMOOTH)
TREE = 256
"""The slots of a tree."""
_RED, _BLUE, _SMOOTH_RED, _SMOOTH_BLUE = 8, 264, 8, 16
TREES = _BLUE + 256
_LARGEST = 255
_CHANGES = (2, 6, 16, 40, 100)
"""The bounds between classes of the change of the green samples around a pixel (assumed)."""


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
    """Return the multiple of 2 tolerance + 1 nearest to a difference with which the sample stays in 0..255."""
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
    """Return the class, of 6, of the change of the green samples around a pixel."""
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
    """Code a colour as differences from its predictions, and return the colour that was coded."""
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
    """Code a colour by its samples as they are, and return the colour that was coded."""
    green = _code_sample(coder, buffer, trees, colour >> 8 & 255, 0, tolerance)
    red = _code_sample(coder, buffer, trees + TREE * (_RED + green), colour >> 16 & 255, 0, tolerance)
    tree = trees + TREE * (_BLUE + (7 * red + 13 * green & 255))
    return red << 16 | green << 8 | _code_sample(coder, buffer, tree, colour & 255, 0, tolerance)
