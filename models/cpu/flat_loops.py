"""Compiled loops of the rule in flat_grounds.py, for one picture on a CPU: numpy arrays only.

Most photographs have no flat white or black. Then one pass over the picture, in vector instructions, is all it costs.

Letters: S side in pixels, G = S / 4 blocks a side.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.cpu.number_formats import U8, U16
from models.flat_grounds import BLOCK_PX

_Flags = NDArray[np.bool_]


def settle(pixels: U8, reach: int, total: int) -> None:
    """Set the flat windows of `pixels` (S, 3 S) to 255 or 0, in place; `reach` and `total` are those of its quality."""
    side = pixels.shape[0] // BLOCK_PX
    white, black = np.zeros(side, np.bool_), np.zeros(side, np.bool_)
    _find_rows(pixels, reach, white, black)
    _settle_to(pixels, 255, white, reach, total)
    _settle_to(pixels, 0, black, reach, total)


@njit(inline="always")
def _find_rows(pixels: U8, reach: int, white: _Flags, black: _Flags) -> None:
    """Tell which rows of blocks have four samples below each other that are near 255, and which near 0."""
    for row in range(len(white)):
        lightest, darkest = np.uint8(0), np.uint8(255)
        top = BLOCK_PX * row
        for x in range(pixels.shape[1]):
            first, second, third, fourth = pixels[top, x], pixels[top + 1, x], pixels[top + 2, x], pixels[top + 3, x]
            lightest = max(lightest, min(first, second, third, fourth))
            darkest = min(darkest, max(first, second, third, fourth))
        white[row] = 255 - lightest <= reach
        black[row] = darkest <= reach


@njit(inline="always")
def _settle_to(pixels: U8, level: int, rows: _Flags, reach: int, total: int) -> None:
    """Set the flat windows near `level`, 255 or 0, to it. `rows` (G,) are the rows of blocks that may have any."""
    side, found = len(rows), False
    for row in range(side - 1):
        found |= rows[row] and rows[row + 1]
    if not found:
        return
    largest, sums = np.empty((side, side), np.uint8), np.empty((side, side, 3), np.uint16)
    far, sums_of_block = np.empty(pixels.shape[1], np.uint8), np.empty(pixels.shape[1], np.uint16)
    for row in range(side):
        if rows[row]:
            _measure(pixels, level, row, far, sums_of_block)
            _gather(far, sums_of_block, largest[row], sums[row])
    is_flat = np.zeros((side, side), np.bool_)
    for row in range(side - 1):
        if rows[row] and rows[row + 1]:
            _mark(largest[row : row + 2], sums[row : row + 2], reach, total, is_flat[row : row + 2])
    for row in range(side):
        if rows[row]:
            _fill(pixels, level, row, is_flat[row])


@njit(inline="always")
def _measure(pixels: U8, level: int, row: int, far: U8, sums_of_block: U16) -> None:
    """Write the largest distance from `level`, and the sum of distances, of the 4x4 samples of a channel at each place.

    Place x holds those of x, x + 3, x + 6 and x + 9 in four rows. All blocks are read, and most places are not: loops
    without gaps run in vector instructions.
    """
    top, length = BLOCK_PX * row, len(far)
    for x in range(length):
        first, second, third, fourth = pixels[top, x], pixels[top + 1, x], pixels[top + 2, x], pixels[top + 3, x]
        all_four = np.uint16(np.uint16(first) + np.uint16(second) + np.uint16(third) + np.uint16(fourth))
        sums_of_block[x] = np.uint16(1020) - all_four if level else all_four
        if level:
            far[x] = np.uint8(255) - min(first, second, third, fourth)
        else:
            far[x] = max(first, second, third, fourth)
    for step in (3, 6):
        for x in range(length - step):
            far[x] = max(far[x], far[x + step])
        for x in range(length - step):
            sums_of_block[x] = np.uint16(sums_of_block[x] + sums_of_block[x + step])


@njit(inline="always")
def _gather(far: U8, sums_of_block: U16, largest: U8, sums: U16) -> None:
    """Write the largest distance of each block (G,), and the sums of its three channels (G, 3)."""
    for column in range(len(largest)):
        at = 3 * BLOCK_PX * column
        largest[column] = max(far[at], far[at + 1], far[at + 2])
        sums[column, 0] = sums_of_block[at]
        sums[column, 1] = sums_of_block[at + 1]
        sums[column, 2] = sums_of_block[at + 2]


@njit(inline="always")
def _mark(largest: U8, sums: U16, reach: int, total: int, is_flat: _Flags) -> None:
    """Mark the blocks of the flat windows in two rows of blocks."""
    for column in range(largest.shape[1] - 1):
        if max(largest[0, column], largest[0, column + 1], largest[1, column], largest[1, column + 1]) > reach:
            continue
        red, green, blue = np.int32(0), np.int32(0), np.int32(0)
        for row in range(2):
            for at in range(column, column + 2):
                red += np.int32(sums[row, at, 0])
                green += np.int32(sums[row, at, 1])
                blue += np.int32(sums[row, at, 2])
        if red + green + blue <= total and 3 * max(red, green, blue) <= 2 * total:
            is_flat[0, column] = is_flat[0, column + 1] = is_flat[1, column] = is_flat[1, column + 1] = True


@njit(inline="always")
def _fill(pixels: U8, level: int, row: int, is_flat: _Flags) -> None:
    """Set the marked blocks of a row of blocks, one run of neighbours after the other."""
    column = 0
    while column < len(is_flat):
        start = column
        while column < len(is_flat) and is_flat[column]:
            column += 1
        if column > start:
            pixels[BLOCK_PX * row : BLOCK_PX * (row + 1), 3 * BLOCK_PX * start : 3 * BLOCK_PX * column] = level
        column += 1
