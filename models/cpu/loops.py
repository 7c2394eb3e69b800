"""The steps between the matrix products of a decode on a CPU, each one loop over memory. Arrays only.

The loops are Python, compiled by numba to vector instructions without the interpreter lock. Numbers between products
are stored in float32 or bf16 (number_formats.py); a loop computes in float32 and rounds once. Grids that a 3x3 filter
reads have a border of one empty cell.

Letters: P cells of a grid in row-major order, C channels, n coded channels, A anchors, O cells between them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.cpu.number_formats import F32, I8, I16, I32, U8, U16, Kept, narrow, widen


@njit(inline="always")
def _leaky_relu(value: np.float32) -> np.float32:
    return np.float32(max(value, np.float32(0.1) * value))


@njit(inline="always")
def _compress(value: np.float32) -> np.float32:
    return value / np.sqrt(np.float32(1) + abs(value))  # type: ignore[no-any-return]  # numpy leaves sqrt untyped


@njit(inline="always")
def _rescale(total: np.int32 | np.float32, bias: np.int32) -> np.int32:
    """Return sum plus bias, shifted by seven bits; in 32 bits, where Python's numbers would make it 64."""
    return np.int32(np.int32(np.int32(np.int32(total) + bias) + np.int32(64)) >> np.int32(7))


def upsample(z: I16, rise: I32, h1: I8) -> None:
    """Upsample z (11, 11, C) by four 3x3 filters a channel (4, 9, C) to h1 (22, 22, C), in integers.

    scale_path.py is the reference.
    """
    side, _, channels = z.shape
    total = np.empty(channels, np.int32)
    for row in range(2 * side):
        for column in range(2 * side):
            filters = rise[2 * (row % 2) + column % 2]
            total[:] = 8
            for tap in range(9):
                y, x = row // 2 + tap // 3 - 1, column // 2 + tap % 3 - 1
                if 0 <= y < side and 0 <= x < side:
                    for channel in range(channels):
                        total[channel] += filters[tap, channel] * z[y, x, channel]
            for channel in range(channels):
                h1[row, column, channel] = min(max(total[channel] >> 4, -127), 127)


def hidden(sums: I32 | F32, bias: I32, plain: int, h2: I8 | F32) -> None:
    """Rescale sums (P, C) and bias by seven bits: the first channels to -127..127, the others to 0..127."""
    for place in range(sums.shape[0]):
        for channel in range(sums.shape[1]):
            least = np.int32(-127) if channel < plain else np.int32(0)
            h2[place, channel] = min(max(_rescale(sums[place, channel], bias[channel]), least), np.int32(127))


def indexes(sums: I32 | F32, bias: I32, index: U16) -> None:
    """Add the bias to sums (P, n), shift right by seven bits, and write the results to `index`, clamped to 0..63."""
    for place in range(sums.shape[0]):
        for channel in range(sums.shape[1]):
            value = _rescale(sums[place, channel], bias[channel])
            index[place, channel] = np.uint16(min(max(value, np.int32(0)), np.int32(63)))


def features(read: F32, bias: F32, grid: F32) -> None:
    """Write the activated features (H W, C) into a grid with a border."""
    width = grid.shape[1] - 2
    for place in range(read.shape[0]):
        row, column = place // width + 1, place % width + 1
        for channel in range(read.shape[1]):
            grid[row, column, channel] = _leaky_relu(read[place, channel] + bias[channel])


def decode_anchors(
    q: I16, means: F32, bias: F32, steps: F32, cells: I32, loud: int, t: F32, quiet: Kept, seen: F32, read: Kept
) -> None:
    """Compute t = q step + mean of the anchors (A,), in deviations.

    quiet: the later channels of t; read: t compressed; seen: the first channels of t compressed, in float32.
    """
    context = seen.shape[1]
    for anchor in range(len(cells)):
        cell = cells[anchor]
        for channel in range(len(steps)):
            value = np.float32(q[cell, channel]) * steps[channel] + means[anchor, channel] + bias[channel]
            t[cell, channel] = value
            small = _compress(value)
            read[cell, channel] = narrow(small, read)
            if channel < context:
                seen[anchor, channel] = small
        for channel in range(loud, len(steps)):
            quiet[cell, channel - loud] = narrow(t[cell, channel], quiet)


def between(
    seen: F32, blank: F32, grid: F32, weights: F32, bias: F32, cells: I32, around: I32, mixed: F32
) -> None:  # fmt: skip
    """Apply a depthwise 3x3 filter at the cells between the anchors (O,), to anchors and hyper features.

    seen (A, C): activated anchors; blank (O, C): the contribution of empty cells; around (O, 4): the anchors above,
    left, right and below, where A stands for none.
    """
    channels, width = seen.shape[1], grid.shape[1] - 2
    anchors = seen.shape[0]
    for place in range(len(cells)):
        row, column = cells[place] // width, cells[place] % width
        for channel in range(channels):
            mixed[place, channel] = blank[place, channel]
        for side in range(4):
            anchor = around[place, side]
            if anchor < anchors:
                tap = 2 * side + 1
                for channel in range(channels):
                    mixed[place, channel] += weights[tap, channel] * seen[anchor, channel]
        for channel in range(channels):
            at = channels + channel
            mixed[place, at] = (
                bias[at]
                + weights[0, at] * grid[row, column, channel]
                + weights[1, at] * grid[row, column + 1, channel]
                + weights[2, at] * grid[row, column + 2, channel]
                + weights[3, at] * grid[row + 1, column, channel]
                + weights[4, at] * grid[row + 1, column + 1, channel]
                + weights[5, at] * grid[row + 1, column + 2, channel]
                + weights[6, at] * grid[row + 2, column, channel]
                + weights[7, at] * grid[row + 2, column + 1, channel]
                + weights[8, at] * grid[row + 2, column + 2, channel]
            )


def decode_others(
    q: I16, means: F32, bias: F32, steps: F32, shares: F32, cells: I32, around: I32, loud: int, t: F32, quiet: Kept,
    read: Kept,
) -> None:  # fmt: skip
    """Compute t = q step + mean + shares (4, n) of the four neighbours, of the other cells.

    The last row of t is zero. around (O, 4): the cells above, left, right and below, where P stands for none.
    """
    for other in range(len(cells)):
        cell = cells[other]
        above, left, right, below = around[other, 0], around[other, 1], around[other, 2], around[other, 3]
        for channel in range(len(steps)):
            value = np.float32(q[cell, channel]) * steps[channel] + means[other, channel] + bias[channel]
            value += shares[0, channel] * t[above, channel] + shares[1, channel] * t[left, channel]
            value += shares[2, channel] * t[right, channel] + shares[3, channel] * t[below, channel]
            t[cell, channel] = value
            read[cell, channel] = narrow(_compress(value), read)
        for channel in range(loud, len(steps)):
            quiet[cell, channel - loud] = narrow(t[cell, channel], quiet)


def enter(sums: Kept, bias: F32, gain: F32, grid: Kept) -> None:
    """Write the activated sums (H W, C) times a gain into a grid with a border."""
    width = grid.shape[1] - 2
    for place in range(sums.shape[0]):
        row, column = place // width + 1, place % width + 1
        for channel in range(sums.shape[1]):
            value = gain[channel] * _leaky_relu(widen(sums[place, channel]) + bias[channel])
            grid[row, column, channel] = narrow(value, grid)


def depthwise(grid: Kept, weights: F32, bias: F32, out: Kept) -> None:
    """Apply 3x3 filters (9, C) to a grid with a border; write (H W, C)."""
    width, channels = grid.shape[1] - 2, grid.shape[2]
    for place in range(out.shape[0]):
        row, column = place // width, place % width
        for channel in range(channels):
            value = (
                bias[channel]
                + weights[0, channel] * widen(grid[row, column, channel])
                + weights[1, channel] * widen(grid[row, column + 1, channel])
                + weights[2, channel] * widen(grid[row, column + 2, channel])
                + weights[3, channel] * widen(grid[row + 1, column, channel])
                + weights[4, channel] * widen(grid[row + 1, column + 1, channel])
                + weights[5, channel] * widen(grid[row + 1, column + 2, channel])
                + weights[6, channel] * widen(grid[row + 2, column, channel])
                + weights[7, channel] * widen(grid[row + 2, column + 1, channel])
                + weights[8, channel] * widen(grid[row + 2, column + 2, channel])
            )
            out[place, channel] = narrow(value, out)


def activate(sums: Kept, bias: F32) -> None:
    """Add the bias to sums (P, C) and activate them, in place."""
    for place in range(sums.shape[0]):
        for channel in range(sums.shape[1]):
            sums[place, channel] = narrow(_leaky_relu(widen(sums[place, channel]) + bias[channel]), sums)


def add_residual(sums: Kept, bias: F32, grid: Kept) -> None:
    """Add a residual (H W, C) and its bias to a grid with a border."""
    width = grid.shape[1] - 2
    for place in range(sums.shape[0]):
        row, column = place // width + 1, place % width + 1
        for channel in range(sums.shape[1]):
            value = widen(sums[place, channel]) + bias[channel]
            grid[row, column, channel] = narrow(widen(grid[row, column, channel]) + value, grid)


def ascend(sums: Kept, bias: F32, grid: Kept) -> None:
    """Write activated sums ((H + 2)(W + 2), 4 C) into a grid twice as fine; the 4 are in the order row, column."""
    width, channels = grid.shape[1] - 2, grid.shape[2]
    for row in range(grid.shape[0] - 2):
        for column in range(width):
            place = (row // 2 + 1) * (width // 2 + 2) + column // 2 + 1
            first = (2 * (row % 2) + column % 2) * channels
            for channel in range(channels):
                value = widen(sums[place, first + channel]) + bias[first + channel]
                grid[row + 1, column + 1, channel] = narrow(_leaky_relu(value), grid)


def pixels_of_two(loud: F32, quiet: Kept | None, detail: Kept, bias: F32, side: int, out: U8) -> None:
    """Compute pixels (S, S 3) from the linear path (P, 16 16 3) and detail at twice the grid, with a border."""
    width = 22
    for y in range(side):
        for cell_column in range(width):
            cell = (y // 16) * width + cell_column
            for half in range(2):
                left = 16 * cell_column + 8 * half
                fine = (y // 8 + 1) * (2 * width + 2) + 2 * cell_column + half + 1
                at, fine_at = 48 * (y % 16) + 24 * half, 24 * (y % 8)
                for value_at in range(24 if left < side else 0):
                    value = loud[cell, at + value_at] + bias[at + value_at]
                    if quiet is not None:
                        value += widen(quiet[cell, at + value_at])
                    value = (value + widen(detail[fine, fine_at + value_at])) * np.float32(255) + np.float32(0.5)
                    out[y, 3 * left + value_at] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))


def pixels_of_one(loud: F32, quiet: Kept | None, detail: Kept, bias: F32, side: int, out: U8) -> None:
    """Compute pixels (S, S 3) from the linear path (P, 8 8 3) and detail on the same grid, with a border."""
    width = 22
    for y in range(side):
        for cell_column in range(width):
            cell, at = (y // 8) * width + cell_column, 24 * (y % 8)
            fine = (y // 8 + 1) * (width + 2) + cell_column + 1
            left = 8 * cell_column
            for value_at in range(24 if left + 8 <= side else 3 * (side - left)):
                value = loud[cell, at + value_at] + bias[at + value_at]
                if quiet is not None:
                    value += widen(quiet[cell, at + value_at])
                value = (value + widen(detail[fine, at + value_at])) * np.float32(255) + np.float32(0.5)
                out[y, 3 * left + value_at] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))
