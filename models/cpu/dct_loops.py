"""Inverse DCT, colour axes and pixels of one picture on a processor, each step one loop over memory. Arrays only.

As loops.py, which has the rules; dct.py says what the path computes. A cell is finished in the nearest cache: its
coefficients, two passes of S vectors, three colours, and the pixels.

Letters: P cells of a grid in row-major order, n coded channels, S side of the block in pixels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.cpu.loops import F32, I32, U8, U16, wide

_GRID = 22


@njit(inline="always")
def _level(value: np.float32) -> np.uint8:
    scaled = value * np.float32(255) + np.float32(0.5)
    return np.uint8(min(max(scaled, np.float32(0)), np.float32(255)))


def pixels_of_two_by_dct(
    t: F32, gain: F32, places: I32, inverse: F32, colours: F32, detail: U16, bias: F32, side: int, out: U8
) -> None:
    """Coefficients t (P, n) and detail at twice the grid, with a border ((2 H + 2)(2 W + 2), 8 8 3) -> (S, S 3)."""
    flat, planes, row = np.zeros(3 * 256 + 1, np.float32), np.empty((3, 16), np.float32), np.empty(48, np.float32)
    coefficients, partly = flat[:768].reshape(3, 16, 16), np.empty((3, 16, 16), np.float32)
    for cell in range(_GRID * _GRID):
        cell_row, cell_column = cell // _GRID, cell % _GRID
        for channel in range(t.shape[1]):
            flat[places[channel]] = gain[channel] * t[cell, channel]
        _columns(coefficients, inverse, partly)
        for i in range(min(16, side - 16 * cell_row)):
            _row(partly, i, inverse, planes, colours, row)
            fine = (2 * cell_row + i // 8 + 1) * (2 * _GRID + 2) + 2 * cell_column + 1
            at, y = 24 * (i % 8), 16 * cell_row + i
            for half in range(2):
                left = 48 * cell_column + 24 * half
                for value_at in range(24 if left < 3 * side else 0):
                    value = row[24 * half + value_at] + bias[48 * i + 24 * half + value_at]
                    out[y, left + value_at] = _level(value + wide(detail[fine + half, at + value_at]))


def pixels_of_one_by_dct(
    t: F32, gain: F32, places: I32, inverse: F32, colours: F32, across: F32, detail: U16, bias: F32, side: int, out: U8
) -> None:
    """Coefficients t (P, n), across (P, 8 8 3), detail on the same grid with a border -> (S, S 3)."""
    flat, planes, row = np.zeros(3 * 64 + 1, np.float32), np.empty((3, 8), np.float32), np.empty(24, np.float32)
    coefficients, partly = flat[:192].reshape(3, 8, 8), np.empty((3, 8, 8), np.float32)
    for cell in range(_GRID * _GRID):
        cell_row, cell_column = cell // _GRID, cell % _GRID
        for channel in range(t.shape[1]):
            flat[places[channel]] = gain[channel] * t[cell, channel]
        _columns(coefficients, inverse, partly)
        fine, left = (cell_row + 1) * (_GRID + 2) + cell_column + 1, 24 * cell_column
        for i in range(min(8, side - 8 * cell_row)):
            _row(partly, i, inverse, planes, colours, row)
            for value_at in range(min(24, 3 * side - left)):
                value = row[value_at] + across[cell, 24 * i + value_at] + bias[24 * i + value_at]
                out[8 * cell_row + i, left + value_at] = _level(value + wide(detail[fine, 24 * i + value_at]))


@njit(inline="always")
def _columns(coefficients: F32, inverse: F32, partly: F32) -> None:
    """Inverse over vertical frequencies: partly[c, i, v] = sum of inverse[i, u] coefficients[c, u, v] over u."""
    colours, side, _ = partly.shape
    for colour in range(colours):
        for i in range(side):
            for v in range(side):
                partly[colour, i, v] = np.float32(0)
            for u in range(side):
                weight = inverse[i, u]
                for v in range(side):
                    partly[colour, i, v] += weight * coefficients[colour, u, v]


@njit(inline="always")
def _row(partly: F32, i: int, inverse: F32, planes: F32, colours: F32, row: F32) -> None:
    """Inverse over horizontal frequencies of one row of pixels, in red, green and blue in turn."""
    side = planes.shape[1]
    for colour in range(3):
        for j in range(side):
            planes[colour, j] = np.float32(0)
        for v in range(side):
            value = partly[colour, i, v]
            for j in range(side):
                planes[colour, j] += value * inverse[side + v, j]
    for j in range(side):
        first, second, third = planes[0, j], planes[1, j], planes[2, j]
        for channel in range(3):
            row[3 * j + channel] = (
                first * colours[0, channel] + second * colours[1, channel] + third * colours[2, channel]
            )
