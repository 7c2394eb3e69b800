"""Inverse DCT, colour axes and pixels of one picture on a CPU: each step is one loop over memory. Arrays only.

The rules of loops.py hold here too; dct.py describes what is computed. One cell is finished while its values are in the
nearest cache: coefficients, two passes of S vectors, three colours, and the pixels.

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
    """Compute pixels (S, S 3) from coefficients t (P, n), and detail at twice the grid with a border.

    detail is ((2 H + 2)(2 W + 2), 8 8 3).
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
    """Compute pixels (S, S 3) from coefficients t (P, n), across (P, 8 8 3), and detail on the same grid."""
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
    """Invert vertical frequencies: partly[c, i, v] = sum of inverse[i, u] coefficients[c, u, v] over u.

    Three colours at once, each a sum in a register, take 0.43 ms per picture. Separate even and odd frequencies halve
    the products, but the compiler does not vectorise them: 1.1 ms.
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
    """Invert the horizontal frequencies of one row of pixels, into red, green and blue in turn."""
    for j in range(transposed.shape[1]):
        first, second, third = np.float32(0), np.float32(0), np.float32(0)
        for v in range(16):
            first += partly[0, i, v] * transposed[v, j]
            second += partly[1, i, v] * transposed[v, j]
            third += partly[2, i, v] * transposed[v, j]
        row[3 * j] = first * colours[0, 0] + second * colours[1, 0] + third * colours[2, 0]
        row[3 * j + 1] = first * colours[0, 1] + second * colours[1, 1] + third * colours[2, 1]
        row[3 * j + 2] = first * colours[0, 2] + second * colours[1, 2] + third * colours[2, 2]
