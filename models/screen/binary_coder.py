"""An adaptive binary arithmetic coder in integers, one loop for encoding and decoding. Arrays only, compiled by numba.

Each decision has a slot. The slot holds the probability of a 1. Each coded bit moves it towards that bit, the first
bits further than later ones. Coding a bit narrows the 32-bit interval `low..high`; its leading bytes are written or
read as soon as they are known.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

LOW, HIGH, CODE, PLACE, ENCODES = range(5)
"""The first entries of a coder's array. PLACE is the index of the next byte, ENCODES is 1 for encoding, else 0."""
_RATES = 5
"""The index of the first rate. A rate is the share, of 2^16, by which a probability moves towards a coded bit. There is
one rate for each number of bits that a slot has coded."""
_TOP = 0xFF000000
_WORD = 0xFFFFFFFF
_EDGE_BYTES = 4
"""The number of bytes that flush the encoder at the end of a stream. A decoder reads as many before its first bit."""
_CHANCE_BITS = 22
_EVEN = 1 << (_CHANCE_BITS - 1)
_SEEN_BITS = 8
_LEAST_CHANCE = 24
"""The smallest probability of a bit, of 2^16 (measured: smaller ones save nothing)."""
_SLOWEST = 255
"""The number of bits after which a slot's rate of change stays the same (measured)."""
SLOTS_START = _RATES + _SLOWEST + 1
"""The index of the first slot. The high bits of a slot are the probability of a 1, of 2^22; its low 8 bits are the
number of bits that it has coded."""


def new_coder(buffer: U8, slots: int, *, encodes: bool) -> I64:
    """Return the array of a coder that begins with this buffer: its state, the rates, and slots with even chances.

    One array instead of several: numba counts references to each array at each call (measured: five times slower).
    """
    coder = np.full(SLOTS_START + slots, _EVEN << _SEEN_BITS, np.int64)
    coder[:_RATES] = 0, _WORD, 0, 0, int(encodes)
    coder[_RATES:SLOTS_START] = [5 * (1 << 16) // (5 * seen + 8) for seen in range(_SLOWEST + 1)]
    if not encodes:
        first = buffer[:_EDGE_BYTES].tobytes().ljust(_EDGE_BYTES, b"\0")
        coder[CODE], coder[PLACE] = int.from_bytes(first, "big"), _EDGE_BYTES
    return coder


def finish(coder: I64, buffer: U8) -> bytes | None:
    """Return all bytes that an encoder has written, or None if they did not fit into the buffer."""
    place, high = int(coder[PLACE]), int(coder[HIGH])
    if place + _EDGE_BYTES > len(buffer):
        return None
    return buffer[:place].tobytes() + high.to_bytes(_EDGE_BYTES, "big")


@njit(inline="never")
def code_bit(coder: I64, buffer: U8, slot: int, bit: int) -> int:
    """Encode `bit`, or decode and return a bit; a decoder ignores `bit`. `slot` is an index in `coder`."""
    low, high, state = coder[LOW], coder[HIGH], coder[slot]
    chance, seen = state >> _SEEN_BITS, state & _SLOWEST
    likely = min(max(chance >> (_CHANCE_BITS - 16), _LEAST_CHANCE), (1 << 16) - _LEAST_CHANCE)
    middle = low + ((high - low) * likely >> 16)
    if not coder[ENCODES]:
        bit = 1 if coder[CODE] <= middle else 0
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) & _TOP == 0:
        place = coder[PLACE]
        if coder[ENCODES]:
            if place < len(buffer):
                buffer[place] = high >> 24
        else:
            byte = buffer[place] if place < len(buffer) else 0
            coder[CODE] = (coder[CODE] << 8) & _WORD | byte
        coder[PLACE] = place + 1
        low, high = (low << 8) & _WORD, (high << 8) & _WORD | 0xFF
    coder[LOW], coder[HIGH] = low, high
    chance += ((bit << _CHANCE_BITS) - chance) * coder[_RATES + seen] >> 16
    coder[slot] = chance << _SEEN_BITS | min(seen + 1, _SLOWEST)
    return bit
