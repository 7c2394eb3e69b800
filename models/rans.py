"""Interleaved asymmetric numeral systems (Duda 2013, arXiv 1311.2540; states in turn: Giesen 2014, arXiv 1402.3392).

Integers in, words of 32 bits out. `push` and `pop` are plain Python. Compiled by numba they compute the same without
the interpreter lock; tests run both.

A state x lies in [2^32, 2^64). For a symbol of count f, those before it b, in a table whose counts sum to 2^16:

    push:  if x >= f 2^48: write x mod 2^32, x >>= 32;   x = (x // f) 2^16 + b + x mod f
    pop:   x mod 2^16 tells the symbol;   x = f (x >> 16) + x mod 2^16 - b;   if x < 2^32: x = x 2^32 + the next word

n bits without a table (escapes) are a symbol of count 1 among 2^n. The last symbol is pushed first, so that the first
is popped first. The two states alternate, symbol by symbol, so that a CPU can work on both at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    I16 = NDArray[np.int16]
    I32 = NDArray[np.int32]
    U16 = NDArray[np.uint16]
    U32 = NDArray[np.uint32]
    U64 = NDArray[np.uint64]

SKIPPED = 0
"""The table of a value that is not coded: it is 0."""
LOWEST = 1 << 32
"""The smallest state."""
WORDS_A_VALUE = 2
"""Most words that one value takes: 16 bits for its table, 6 and 15 for its escape."""
DAMAGED = -1
"""The result of `pop` for words that no encoder wrote: too few for the values, or a value beyond 16 bits."""
LARGEST = (1 << 15) - 1
"""The largest

value

that `push` accepts.
"""
_EXCESS_BITS = 15
_BUCKET_BITS = 8


class RansTables(NamedTuple):
    """Any number of tables, end to end. Each codes the values -support..support and optionally an escape."""

    starts: I32
    """(T,) the index in `below` at which the cumulative counts of a table begin."""
    below: U32
    """Cumulative counts, 0 to 2^16 for each table."""
    buckets: U16
    """(256 T,) for each 256 values of x mod 2^16, the symbol of the first one."""
    supports: I32
    """(T,) the largest |value| of a table without escape."""
    escapes: I32
    """(T,) the symbol that says "beyond the support", or -1."""


class Run(Protocol):
    """`push` or `pop`, compiled or not."""

    def __call__(self, values: I16, chosen: U16, tables: RansTables, states: U64, words: U32, at: int) -> int:
        """Code one run of values, and return the place after the last word."""


def pack_tables(rows: list[I32], supports: list[int]) -> RansTables:
    """Pack rows of 2 support + 1 counts, or 2 support + 2 with the escape last; each row sums to 2^16."""
    cumulative = [np.concatenate([[0], np.cumsum(row)]) for row in rows]
    places = np.arange(1 << _BUCKET_BITS) << (16 - _BUCKET_BITS)
    buckets = [np.searchsorted(one, places, side="right") - 1 for one in cumulative]
    escapes = [2 * half + 1 if len(row) == 2 * half + 2 else -1 for row, half in zip(rows, supports, strict=True)]
    return RansTables(
        starts=np.cumsum([0, *map(len, cumulative[:-1])]).astype(np.int32),
        below=np.concatenate(cumulative).astype(np.uint32),
        buckets=np.concatenate(buckets).astype(np.uint16),
        supports=np.array(supports, dtype=np.int32),
        escapes=np.array(escapes, dtype=np.int32),
    )


def push(values: I16, chosen: U16, tables: RansTables, states: U64, words: U32, at: int) -> int:
    """Push values (n,) of |value| < 2^15, the last first, by their tables; return the place after the last word.

    `states` (2,) are updated; `words` are written from `at` on and need room for two per value.
    """
    one, other = states[0], states[1]
    for place in range(len(values) - 1, -1, -1):
        table = chosen[place]
        if table == SKIPPED:
            continue
        one, other = other, one
        value, support = int(values[place]), int(tables.supports[table])
        symbol = value + support
        excess = abs(value) - support
        if excess > 0:
            size = 0
            while excess >> (size + 1):
                size += 1
            if size > 0 and one >> np.uint64(64 - size):
                words[at], one, at = np.uint32(one & np.uint64(0xFFFFFFFF)), one >> np.uint64(32), at + 1
            one = (one << np.uint64(size)) | np.uint64(excess - (1 << size))
            if one >> np.uint64(58):
                words[at], one, at = np.uint32(one & np.uint64(0xFFFFFFFF)), one >> np.uint64(32), at + 1
            one = (one << np.uint64(6)) | np.uint64(2 * size + (1 if value < 0 else 0))
            symbol = tables.escapes[table]
        first = tables.starts[table] + symbol
        below = np.uint64(tables.below[first])
        count = np.uint64(tables.below[first + 1]) - below
        if one >> np.uint64(48) >= count:
            words[at], one, at = np.uint32(one & np.uint64(0xFFFFFFFF)), one >> np.uint64(32), at + 1
        one = ((one // count) << np.uint64(16)) + below + one % count
    states[0], states[1] = one, other
    return at


def pop(  # noqa: C901, PLR0912  numba would compile smaller functions separately
    values: I16, chosen: U16, tables: RansTables, states: U64, words: U32, at: int
) -> int:
    """Pop values (n,) in order; return the place of the next word, or DAMAGED.

    Words that no encoder wrote are safe: nothing is read beyond them, and where there are enough of them, the states at
    the end differ from an encoder's first states.
    """
    one, other = states[0], states[1]
    lowest = np.uint64(LOWEST)
    for place in range(len(chosen)):
        table = chosen[place]
        if table == SKIPPED:
            values[place] = 0
            continue
        slot = np.uint32(one & np.uint64(0xFFFF))
        first = tables.starts[table] + tables.buckets[(int(table) << 8) + (int(slot) >> 8)]
        while tables.below[first + 1] <= slot:
            first += 1
        below = tables.below[first]
        one = np.uint64(tables.below[first + 1] - below) * (one >> np.uint64(16)) + np.uint64(slot - below)
        if one < lowest:
            if at == len(words):
                return DAMAGED
            one, at = (one << np.uint64(32)) | np.uint64(words[at]), at + 1
        symbol = first - tables.starts[table]
        value = symbol - tables.supports[table]
        if symbol == tables.escapes[table]:
            mark = int(one & np.uint64(63))
            one >>= np.uint64(6)
            if one < lowest:
                if at == len(words):
                    return DAMAGED
                one, at = (one << np.uint64(32)) | np.uint64(words[at]), at + 1
            size = mark >> 1
            if size >= _EXCESS_BITS:
                return DAMAGED
            excess = (1 << size) + int(one & np.uint64((1 << size) - 1))
            one >>= np.uint64(size)
            if one < lowest:
                if at == len(words):
                    return DAMAGED
                one, at = (one << np.uint64(32)) | np.uint64(words[at]), at + 1
            value = tables.supports[table] + excess
            if value > LARGEST:
                return DAMAGED
            if mark & 1:
                value = -value
        values[place] = value
        one, other = other, one
    states[0], states[1] = one, other
    return at
