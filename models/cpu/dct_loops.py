"""Compiled loops for the pixels of a head with a DCT path: inverse DCT, colours and detail. Numpy arrays only.

They are compiled as those in loops.py; dct.py describes what is computed. Each loop takes one cell after the other from
coefficients to pixels, so that a cell's values stay in the first-level cache.

Letters: P cells of a grid in row-major order, n coded channels, S side of the block in pixels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.cpu.number_formats import F32, I32, U8, Kept, widen

_GRID = 22


@njit(inline="always")
def _level(value: np.float32) -> np.uint8:
    scaled = value * np.float32(255) + np.float32(0.5)
    return np.uint8(min(max(scaled, np.float32(0)), np.float32(255)))


def pixels_of_two_by_dct(
    t: F32, gain: F32, places: I32, inverse: F32, colours: F32, detail: Kept, bias: F32, side: int, out: U8
) -> None:
    """Write the pixels of the 344 picture to `out` (344, 344 * 3): inverse DCT of t (P, n) plus `detail` plus `bias`.

    `detail`, the output of the head's network, is on the grid of twice the side with a border of one cell:
    ((2 H + 2)(2 W + 2), 8 * 8 * 3). `side` is 344.
    """
    flat, row, transposed = np.zeros(3 * 256, np.float32), np.empty(48, np.float32), inverse.T.copy()
    coefficients, partly = flat.reshape(3, 16, 16), np.empty((3, 16, 16), np.float32)
    for cell in range(_GRID * _GRID):
        cell_row, cell_column = cell // _GRID, cell % _GRID
        for channel in range(t.shape[1]):
            flat[places[channel]] = gain[channel] * t[cell, channel]
        _columns(coefficients, inverse, partly)
        for i in range(min(16, side - 16 * cell_row)):
            _row(partly, i, transposed, colours, row)
            fine = (2 * cell_row + i // 8 + 1) * (2 * _GRID + 2) + 2 * cell_column + 1
            at, y = 24 * (i % 8), 16 * cell_row + i
            for half in range(2):
                left = 48 * cell_column + 24 * half
                for value_at in range(24 if left < 3 * side else 0):
                    value = row[24 * half + value_at] + bias[48 * i + 24 * half + value_at]
                    out[y, left + value_at] = _level(value + widen(detail[fine + half, at + value_at]))


def pixels_of_one_by_dct(
    t: F32, gain: F32, places: I32, inverse: F32, colours: F32, across: F32, detail: Kept, bias: F32, side: int, out: U8
) -> None:
    """Write the pixels of the 172 picture to `out` (172, 172 * 3): inverse DCT of t (P, n) plus three other terms.

    `across` (P, 8 * 8 * 3) comes from the neighbouring cells, `detail` ((H + 2)(W + 2), 8 * 8 * 3) from the network,
    and `bias` is added. `side` is 172.
    """
    flat, row, transposed = np.zeros(3 * 256, np.float32), np.empty(24, np.float32), inverse.T.copy()
    coefficients, partly = flat.reshape(3, 16, 16), np.empty((3, 8, 16), np.float32)
    for cell in range(_GRID * _GRID):
        cell_row, cell_column = cell // _GRID, cell % _GRID
        for channel in range(t.shape[1]):
            flat[places[channel]] = gain[channel] * t[cell, channel]
        _columns(coefficients, inverse, partly)
        fine, left = (cell_row + 1) * (_GRID + 2) + cell_column + 1, 24 * cell_column
        for i in range(min(8, side - 8 * cell_row)):
            _row(partly, i, transposed, colours, row)
            for value_at in range(min(24, 3 * side - left)):
                value = row[value_at] + across[cell, 24 * i + value_at] + bias[24 * i + value_at]
                out[8 * cell_row + i, left + value_at] = _level(value + widen(detail[fine, 24 * i + value_at]))


@njit(inline="always")
def _columns(coefficients: F32, inverse: F32, partly: F32) -> None:
    """Apply the inverse DCT vertically: partly[c, i, v] = sum over u of inverse[i, u] coefficients[c, u, v].

    With the three colours' sums in registers it takes 0.43 ms per picture. Splitting even and odd frequencies would
    halve the multiplications, but is not vectorised by the compiler and takes 1.1 ms (measured).
    """
    for i in range(inverse.shape[0]):
        for v in range(16):
            first, second, third = np.float32(0), np.float32(0), np.float32(0)
            for u in range(16):
                first += inverse[i, u] * coefficients[0, u, v]
                second += inverse[i, u] * coefficients[1, u, v]
                third += inverse[i, u] * coefficients[2, u, v]
            partly[0, i, v] = first
            partly[1, i, v] = second
            partly[2, i, v] = third


@njit(inline="always")
def _row(partly: F32, i: int, transposed: F32, colours: F32, row: F32) -> None:
    """Apply the inverse DCT horizontally to row `i` of a block, and write its pixels' red, green and blue to `row`."""
    for j in range(transposed.shape[1]):
        first, second, third = np.float32(0), np.float32(0), np.float32(0)
        for v in range(16):
            first += partly[0, i, v] * transposed[v, j]
            second += partly[1, i, v] * transposed[v, j]
            third += partly[2, i, v] * transposed[v, j]
        row[3 * j] = first * colours[0, 0] + second * colours[1, 0] + third * colours[2, 0]
        row[3 * j + 1] = first * colours[0, 1] + second * colours[1, 1] + third * colours[2, 1]
        row[3 * j + 2] = first * colours[0, 2] + second * colours[1, 2] + third * colours[2, 2]
