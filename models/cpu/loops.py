"""Compiled loops: the steps between the matrix products of a decode on a CPU, each one pass over memory. Arrays only.

The loops are Python functions, which numba compiles to vector instructions that run without the interpreter lock.
Arrays between products are in float32 or bf16 (number_formats.py); a loop computes in float32 and rounds once. A "grid
with a border" is (H + 2, W + 2, C) with one empty cell around it, so that 3x3 filters need no bounds checks.

Letters: P cells of a grid in row-major order, C channels, n coded channels, A anchors, O the other cells.
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
    """Return floor((total + bias) / 2^7 + 1/2), in 32-bit integers; plain Python numbers would make numba use 64."""
    return np.int32(np.int32(np.int32(np.int32(total) + bias) + np.int32(64)) >> np.int32(7))


def upsample(z: I16, rise: I32, h1: I8) -> None:
    """Write h1 (22, 22, C): z (11, 11, C) upsampled by the filters `rise` (4, 9, C), in integers.

    It computes what `_upsample` in scale_path.py does.
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
    """Write h2 (P, C): sums plus bias, divided by 2^7 and rounded.

    The first `plain` channels are clamped to -127..127, the others to 0..127.
    """
    for place in range(sums.shape[0]):
        for channel in range(sums.shape[1]):
            least = np.int32(-127) if channel < plain else np.int32(0)
            h2[place, channel] = min(max(_rescale(sums[place, channel], bias[channel]), least), np.int32(127))


def indexes(sums: I32 | F32, bias: I32, index: U16) -> None:
    """Write the scale indexes (P, n): sums plus bias, divided by 2^7, rounded and clamped to 0..63."""
    for place in range(sums.shape[0]):
        for channel in range(sums.shape[1]):
            value = _rescale(sums[place, channel], bias[channel])
            index[place, channel] = np.uint16(min(max(value, np.int32(0)), np.int32(63)))


def features(read: F32, bias: F32, grid: F32) -> None:
    """Add the bias to `read` (P, C), apply leaky ReLU, and write the result into the interior of a bordered grid."""
    width = grid.shape[1] - 2
    for place in range(read.shape[0]):
        row, column = place // width + 1, place % width + 1
        for channel in range(read.shape[1]):
            grid[row, column, channel] = _leaky_relu(read[place, channel] + bias[channel])


def decode_anchors(
    q: I16, means: F32, bias: F32, steps: F32, cells: I32, loud: int, t: F32, quiet: Kept, seen: F32, read: Kept
) -> None:
    """Compute t = q * step + mean of the anchors `cells` (A,), in units of the channels' standard deviations.

    Besides t it writes `quiet`, the channels of t from `loud` on, `read`, which is compress(t), and `seen`, the first
    channels of compress(t) in float32.
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
    """Write mixed (O, 2 C): a depthwise 3x3 filter over the features of anchors and of h1, at the non-anchor cells.

    seen (A, C) holds the features of the decoded anchors, grid those of h1. blank (O, C) is the filter's constant sum
    over the non-anchor cells. around (O, 4) has the anchors above, left, right and below; A stands for none.
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
    """Compute t = q * step + mean of the non-anchor cells `cells` (O,), in units of the channels' standard deviations.

    The mean includes `shares` (4, n) times t of the four neighbours. around (O, 4) has the cells above, left, right and
    below; P, the last row of t, which is zero, stands for none. `quiet` and `read` are written as in `decode_anchors`.
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
    """Add the bias to sums (P, C), apply leaky ReLU and the gain (C,), and write to the interior of a bordered grid."""
    width = grid.shape[1] - 2
    for place in range(sums.shape[0]):
        row, column = place // width + 1, place % width + 1
        for channel in range(sums.shape[1]):
            value = gain[channel] * _leaky_relu(widen(sums[place, channel]) + bias[channel])
            grid[row, column, channel] = narrow(value, grid)


def depthwise(grid: Kept, weights: F32, bias: F32, out: Kept) -> None:
    """Apply a depthwise 3x3 filter (9, C) to a grid with a border, and write the result to `out` (P, C)."""
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
    """Add the bias to sums (P, C) and apply leaky ReLU, in place."""
    for place in range(sums.shape[0]):
        for channel in range(sums.shape[1]):
            sums[place, channel] = narrow(_leaky_relu(widen(sums[place, channel]) + bias[channel]), sums)


def add_residual(sums: Kept, bias: F32, grid: Kept) -> None:
    """Add the residual `sums` (P, C) and its bias to a grid with a border, in place."""
    width = grid.shape[1] - 2
    for place in range(sums.shape[0]):
        row, column = place // width + 1, place % width + 1
        for channel in range(sums.shape[1]):
            value = widen(sums[place, channel]) + bias[channel]
            grid[row, column, channel] = narrow(widen(grid[row, column, channel]) + value, grid)


def ascend(sums: Kept, bias: F32, grid: Kept) -> None:
    """Add the bias to sums, apply leaky ReLU, and pixel-shuffle the result into a grid of twice the side.

    sums is ((H + 2)(W + 2), 4 C): a coarse grid with a border, with its four finer cells in the order row, column.
    """
    width, channels = grid.shape[1] - 2, grid.shape[2]
    for row in range(grid.shape[0] - 2):
        for column in range(width):
            place = (row // 2 + 1) * (width // 2 + 2) + column // 2 + 1
            first = (2 * (row % 2) + column % 2) * channels
            for channel in range(channels):
                value = widen(sums[place, first + channel]) + bias[first + channel]
                grid[row + 1, column + 1, channel] = narrow(_leaky_relu(value), grid)


def pixels_of_two(loud: F32, quiet: Kept | None, detail: Kept, bias: F32, side: int, out: U8) -> None:
    """Write the pixels of the 344 picture to `out` (344, 344 * 3): loud + quiet + detail + bias, as 0..255.

    loud and quiet (P, 16 * 16 * 3) are the linear path's two parts, quiet None where there is one part only. detail is
    the network's output on the 44x44 grid with a border. `side` is 344.
    """
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
    """Write the pixels of the 172 picture to `out` (172, 172 * 3): loud + quiet + detail + bias, as 0..255.

    loud and quiet (P, 8 * 8 * 3) are the linear path's two parts, quiet None where there is one part only. detail is
    the network's output on the latent grid with a border. `side` is 172.
    """
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
