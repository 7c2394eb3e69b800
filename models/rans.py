"""Interleaved asymmetric numeral systems: rANS (Duda 2013, arXiv 1311.2540) with two states (Giesen 2014, 1402.3392).

Integers in, 32-bit words out. `push` and `pop` are plain Python functions; compiled by numba they compute the same
without the interpreter lock. The tests run both forms.

A state x lies in [2^32, 2^64). For a symbol of count f, with b the sum of the counts before it, in a table whose counts
sum to 2^16:

    push:  if x >= f 2^48: write x mod 2^32, x >>= 32;   x = (x // f) 2^16 + b + x mod f
    pop:   x mod 2^16 gives the symbol;   x = f (x >> 16) + x mod 2^16 - b;   if x < 2^32: x = x 2^32 + the next word

n raw bits (of an escape) are coded as a symbol of count 1 in a table of 2^n. The last symbol is pushed first, so that
the first symbol is popped first. The two states alternate, symbol by symbol, so that a CPU can overlap their work.
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
"""The table number of a value that is not coded and decodes as 0."""
LOWEST = 1 << 32
"""The smallest value of an ANS state; a state below it is refilled with the next word."""
WORDS_A_VALUE = 2
"""Upper limit of the 32-bit words that one value takes: 16 bits by its table, and 6 + 15 bits for an escape."""
DAMAGED = -1
"""The result of `pop` for damaged words: there are too few for the values, or a value is beyond 16 bits."""
LARGEST = (1 << 15) - 1
"""The largest |value| that `push` accepts."""
_EXCESS_BITS = 15
_BUCKET_BITS = 8


class RansTables(NamedTuple):
    """T tables of cumulative counts in one array. Each codes the values -support..support and optionally an escape."""

    starts: I32
    """(T,) the index in `below` at which each table's cumulative counts begin."""
    below: U32
    """The cumulative counts of all tables, one after the other, each from 0 to 2^16."""
    buckets: U16
    """(256 T,) lookup that shortens the search for a symbol: entry i of a table is the symbol of x mod 2^16 = 256 i."""
    supports: I32
    """(T,) the largest |value| that each table codes without an escape."""
    escapes: I32
    """(T,) the symbol that announces a value beyond the support, or -1 for a table without escape."""


class Run(Protocol):
    """The signature of `push` and `pop`, as plain Python or compiled."""

    def __call__(self, values: I16, chosen: U16, tables: RansTables, states: U64, words: U32, at: int) -> int:
        """Push or pop `values` (n,) by the tables `chosen` (n,), and return the index after the last word used."""


def pack_tables(rows: list[I32], supports: list[int]) -> RansTables:
    """Pack tables of counts into one `RansTables`.

    A row has 2 support + 1 counts, or 2 support + 2 if it has an escape, which is last. Each row sums to 2^16.
    """
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
    """Push values (n,) of |value| < 2^15 by the tables `chosen` (n,), the last value first.

    Updates `states` (2,) and writes into `words` from index `at` on, at most two words per value. Returns the index
    after the last word written.
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
    """Pop `values` (n,) in order by the tables `chosen` (n,), and return the index of the next word, or DAMAGED.

    Updates `states` (2,). Damaged words are safe to read: nothing is read beyond their end. If they do not end early,
    the final states differ from the encoder's first states, which the caller compares.
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
