"""Predict each pixel from earlier ones, and code what no prediction matches. Integers only, compiled by numba.

Up to seven colours are guessed for a pixel, and one bit is coded for each until a guess is right:

    1     the colour that followed at an earlier place with equal surroundings (`MATCH`), until it is wrong
    2, 3  the colour that was last seen after the same seven or four neighbours (`WIDE`, `NEAR`)
    4..7  the left, upper, upper right and upper left neighbour (W, N, NE, NW)

If all guesses are wrong, the three samples are coded (samples.py).

Encoding and decoding run the same loop. With a `tolerance`, an encoder accepts a guess that differs by at most that
much in each sample. It writes the coded picture, with these differences, into `pixels`. A pixel with equal neighbours
in both directions is always coded exactly.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.config import HIGH_PX
from models.screen.binary_coder import ENCODES, I64, PLACE, SLOTS_START, U8, code_bit
from models.screen.pixel_rows import FIRST, MARGIN, STRIDE
from models.screen.samples import PALETTE, TREE, TREES, code_palette, code_smooth

_TABLE = 1 << 16
"""The number of entries in each table of the memory."""
_NEAR_TABLE, _PLACES = _TABLE, 2 * _TABLE
GUESSES = 7
_GUESSES, _CHOSEN = 3 * _TABLE, 3 * _TABLE + GUESSES
_SURE = 15
"""The value at which the count of right guesses stops."""
_LONGEST = 200
_SHORT, _LONG = 8, 40

# The slots of the decisions: each kind of guess has its own, then the trees of samples.
_MATCH = SLOTS_START
_WIDE, _NEAR, _SIDES, _TREES = _MATCH + 512, _MATCH + 1536, _MATCH + 2048, _MATCH + 2560
SLOTS = 2560 + TREES * TREE


def new_memory() -> I64:
    """Return an empty memory: three tables by a hash of the surroundings, then room for seven guesses and their slots.

    An entry of WIDE or NEAR holds the colour that was last seen after such surroundings, and in its low four bits how
    often this colour was right in succession. An entry of PLACES holds the index of the pixel that was last seen there.
    0 stands for nothing.
    """
    return np.zeros(3 * _TABLE + 2 * GUESSES, np.int64)


@njit(inline="never")
def _differ_by(colour: int, other: int) -> int:
    """Return the largest difference of a sample between two colours."""
    red = abs((colour >> 16) - (other >> 16))
    green = abs((colour >> 8 & 255) - (other >> 8 & 255))
    return max(red, green, abs((colour & 255) - (other & 255)))


@njit(inline="never")
def _hash(total: int) -> int:
    return (total & 0xFFFFFFFF) * 0x9E3779B1 >> 16 & (_TABLE - 1)


@njit(inline="never")
def _near_sum(pixels: I64, at: int) -> int:
    above = at - STRIDE
    return (  # type: ignore[no-any-return]
        pixels[at - 1] * 0x2F0B4C47
        + pixels[above] * 0x5851F42D
        + pixels[above + 1] * 0x14057B7E
        + pixels[above - 1] * 0x4C957F2D
    )


@njit(inline="never")
def _wide_sum(pixels: I64, at: int) -> int:
    above = at - 2 * STRIDE
    return (  # type: ignore[no-any-return]
        pixels[at - 2] * 0x7A1F9D35 + pixels[above] * 0x3C6EF372 + pixels[above + 1] * 0x1B873593
    )


@njit(inline="never")
def _far_sum(pixels: I64, at: int) -> int:
    above = at - STRIDE
    return (  # type: ignore[no-any-return]
        pixels[at - 3] * 0x2545F491
        + pixels[at - 4] * 0x6C078965
        + pixels[at - 5] * 0x5D588B65
        + pixels[at - 6] * 0x0019660D
        + pixels[above + 2] * 0x27220A95
        + pixels[above - 2] * 0x1B56C4E9
    )


@njit(inline="never")
def _length_class(length: int) -> int:
    """Return the class (one of 20) of a number of right guesses in succession."""
    if length < _SHORT:
        return length
    return _SHORT + ((length - _SHORT) >> 2) if length < _LONG else 16 + min(3, (length - _LONG) >> 5)


@njit(inline="never")
def _agreement(sure: int, colour: int, guess: int) -> int:
    """Return 0 if nothing was seen, 1 if the two agree, and 2 if they differ."""
    return 0 if sure == 0 else (1 if colour == guess else 2)


@njit(inline="never")
def _guess(pixels: I64, at: int, match: int, length: int, wide: int, near: int, misses: int, memory: I64) -> None:
    """Write the seven guesses and their slots into `memory`. A guess of -1 means that there is none."""
    above = at - STRIDE
    west, north, north_east, north_west = pixels[at - 1], pixels[above], pixels[above + 1], pixels[above - 1]
    wide_sure, near_sure = memory[wide] & _SURE, memory[near] & _SURE
    by_match = pixels[match] if length else -1
    by_wide = memory[wide] >> 4 if wide_sure else -1
    by_near = memory[near] >> 4 if near_sure else -1
    memory[_GUESSES], memory[_GUESSES + 1], memory[_GUESSES + 2] = by_match, by_wide, by_near
    memory[_GUESSES + 3], memory[_GUESSES + 4] = west, north
    memory[_GUESSES + 5], memory[_GUESSES + 6] = north_east, north_west
    agreed = 3 * _agreement(wide_sure, by_wide, by_match) + _agreement(near_sure, by_near, by_match)
    memory[_CHOSEN] = _MATCH + (_length_class(length) * 9 + agreed) * 2 + (by_match == west)
    sides = (by_wide == west) + 2 * (by_wide == north)
    memory[_CHOSEN + 1] = _WIDE + ((wide_sure * 3 + _agreement(near_sure, by_near, by_wide)) * 4 + sides) * 4 + misses
    sides = (by_near == west) + 2 * (by_near == north)
    memory[_CHOSEN + 2] = _NEAR + (near_sure * 4 + min(wide_sure, 3)) * 4 + sides
    equal = (west == north) + 2 * (north == north_east) + 4 * (west == north_west) + 8 * (north == north_west)
    for side in range(4):
        memory[_CHOSEN + 3 + side] = _SIDES + (side * 16 + equal) * 4 + (wide_sure > 0) + (near_sure > 0)


@njit(inline="never")
def _code_guesses(coder: I64, buffer: U8, memory: I64, colour: int, tolerance: int) -> int:
    """Code which guess is right. Return its colour, or -1 if none is."""
    for number in range(GUESSES):
        guess = memory[_GUESSES + number]
        is_new = guess >= 0
        for earlier in range(number):
            is_new &= memory[_GUESSES + earlier] != guess
        if is_new and code_bit(
            coder, buffer, memory[_CHOSEN + number], 1 if _differ_by(colour, guess) <= tolerance else 0
        ):
            return guess  # type: ignore[no-any-return]
    return -1


@njit(inline="never")
def _remember(memory: I64, place: int, colour: int) -> None:
    sure = memory[place] & _SURE
    if sure and memory[place] >> 4 == colour:
        memory[place] += sure < _SURE
    elif sure > 1:
        memory[place] += (sure >> 1) - sure
    else:
        memory[place] = colour << 4 | 1


@njit(inline="never")
def _is_flat(source: I64, at: int) -> bool:
    colour = source[at]
    return (colour == source[at - 1] or colour == source[at + 1]) and (  # type: ignore[no-any-return]
        colour == source[at - STRIDE] or colour == source[at + STRIDE]
    )


@njit(inline="never")
def _next_place(place: int) -> int:
    """Return the index of the pixel after this one, which may be the first of the next row."""
    return place + 1 if (place + 1) % STRIDE < STRIDE - MARGIN else place + 1 + 2 * MARGIN


def code_picture(pixels: I64, source: I64, coder: I64, buffer: U8, memory: I64, *, mode: int, tolerance: int) -> None:
    """Encode `source` or decode a picture, pixel by pixel, and write the coded picture into `pixels`.

    A decoder ignores the contents of `source`. An encoder stops when its buffer is full.
    """
    match = length = misses = 0
    for row in range(HIGH_PX):
        start = FIRST + row * STRIDE
        pixels[start - 1] = pixels[start - 2] = pixels[start - STRIDE]
        for at in range(start, start + HIGH_PX):
            near_sum = _near_sum(pixels, at)
            wide_sum = near_sum + _wide_sum(pixels, at)
            wide, near = _hash(wide_sum), _NEAR_TABLE + _hash(near_sum)
            far = _PLACES + _hash(wide_sum + _far_sum(pixels, at))
            if length == 0 and memory[far] > 0:
                match, length = memory[far], 1
            allowed = 0 if _is_flat(source, at) else tolerance
            _guess(pixels, at, match, length, wide, near, misses, memory)
            colour = _code_guesses(coder, buffer, memory, source[at], allowed)
            if colour >= 0:
                misses = max(misses - 1, 0)
            elif mode == PALETTE:
                colour, misses = code_palette(coder, buffer, _TREES, source[at], allowed), min(misses + 1, 3)
            else:
                colour, misses = code_smooth(coder, buffer, _TREES, pixels, at, source[at], allowed), min(misses + 1, 3)
            pixels[at] = colour
            if length and pixels[match] == colour:
                match, length = _next_place(match), min(length + 1, _LONGEST)
            else:
                length = 0
            memory[far] = at
            _remember(memory, wide, colour)
            _remember(memory, near, colour)
        pixels[start + HIGH_PX] = pixels[start + HIGH_PX + 1] = pixels[start + HIGH_PX - 1]
        if coder[ENCODES] and coder[PLACE] > len(buffer):
            return
