"""Symbols and scale indexes <-> words, on interleaved ANS (rans.py). Uses the model's tables, not its networks.

z is decoded first. It gives the scale indexes, with which y is decoded: cell by cell, all channels of a cell together.
The table of a symbol depends on z, quality and constants alone.

The first state starts at LOWEST plus a checksum from the caller, the second at LOWEST. Decoding must end at the same
two states with no word left, otherwise the words are damaged. The checksum must cover the symbols, because the bits of
an escape leave no trace in a state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.bitstream import DamagedBitstream
from models.entropy_model import HYPER_LIMIT, SCALE_COUNT, hyper_group, support_of
from models.machine_code import compile_loop
from models.rans import DAMAGED, LOWEST, WORDS_A_VALUE, pack_tables, pop, push

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.rans import I16, U16, U32, U64

    Ints = NDArray[np.int32]

_STATE_WORDS = 4
"""Words for both states, low word first; the other words follow in reverse order of writing."""


class EntropyCoder:
    """Codes symbols with the frozen tables of one model."""

    def __init__(self, *, symbol_tables: list[Ints], hyper_tables: Ints) -> None:
        """Take symbol_tables[i] of 2 K_i + 2 counts and hyper_tables (groups, C, 31); each row sums to 2^16."""
        supports = [support_of(index) for index in range(SCALE_COUNT)]
        if [len(table) for table in symbol_tables] != [2 * support + 2 for support in supports]:
            message = "the symbol tables do not have the lengths of this version"
            raise ValueError(message)
        groups, self._hyper_channels, _ = hyper_tables.shape
        hyper_rows = list(hyper_tables.reshape(groups * self._hyper_channels, -1))
        self._tables = pack_tables(symbol_tables + hyper_rows, supports + [HYPER_LIMIT] * len(hyper_rows))
        self._push, self._pop = compile_loop(push), compile_loop(pop)
        self._compile()

    def _compile(self) -> None:
        """Compile the loops now, not within the first request: about two seconds on a machine without a cache."""
        nothing, index = np.zeros(0, np.int16), np.zeros(0, np.uint16)
        words = self.encode(np.zeros((self._hyper_channels, 0, 0), np.int16), nothing, index, quality=0, checksum=0)
        self.open(words).symbols(index)

    def encode(self, z: I16, q: I16, index: U16, *, quality: int, checksum: int) -> bytes:
        """Return the words of one latent: z (C, h, w), q and its scale indexes (n,) in coding order;

        q

        below 2^15.
        """
        chosen = self.hyper_choice(z[0].size, quality)
        words = np.empty(WORDS_A_VALUE * (z.size + len(q)) + _STATE_WORDS, np.uint32)
        states = _first_states(checksum)
        at = self._push(q, index, self._tables, states, words, 0)
        at = self._push(z.reshape(-1), chosen, self._tables, states, words, at)
        return states.astype("<u8").tobytes() + words[:at][::-1].astype("<u4").tobytes()

    def open(self, words: bytes) -> Decoding:
        """Start decoding words, whose length is a multiple of 32 bits (bitstream.py has checked it)."""
        if len(words) < 4 * _STATE_WORDS:
            raise DamagedBitstream("the words end inside the coder's states")
        return Decoding(self, words)

    def hyper_choice(self, places: int, quality: int) -> U16:
        """Return the table of each hyper-latent (C * places,), channel by channel."""
        first = SCALE_COUNT + hyper_group(quality) * self._hyper_channels
        return np.repeat(np.arange(first, first + self._hyper_channels, dtype=np.uint16), places)

    def pop(self, chosen: U16, states: U64, words: U32, at: int) -> tuple[I16, int]:
        """Return values (n,) decoded by the chosen tables, and the place of the next word."""
        values = np.empty(len(chosen), np.int16)
        return values, self._pop(values, chosen, self._tables, states, words, at)


class Decoding:
    """Decodes one latent: z first, then y, whose scale indexes depend on z; then compares the checksum."""

    def __init__(self, coder: EntropyCoder, words: bytes) -> None:
        """Copy the states, which will change, but not the words."""
        self._coder = coder
        self._states = np.frombuffer(words, "<u8", count=2).astype(np.uint64)
        self._words = np.frombuffer(words, "<u4", offset=4 * _STATE_WORDS).astype(np.uint32, copy=False)
        self._at = 0

    def hyper_latent(self, side: int, *, quality: int) -> I16:
        """Return z as (C, side, side)."""
        return self._pop_values(self._coder.hyper_choice(side * side, quality)).reshape(-1, side, side)

    def symbols(self, index: U16) -> I16:
        """Return q (n,) in coding order, zero where the index says skip. Raises `DamagedBitstream`."""
        return self._pop_values(index)

    def check(self, *, checksum: int) -> None:
        """Raise `DamagedBitstream` unless exactly the symbols under this checksum have been decoded."""
        if self._at != len(self._words):
            raise DamagedBitstream("words are left over after the last symbol")
        if not np.array_equal(self._states, _first_states(checksum)):
            raise DamagedBitstream("the checksum of header and symbols does not match")

    def _pop_values(self, chosen: U16) -> I16:
        values, self._at = self._coder.pop(chosen, self._states, self._words, self._at)
        if self._at == DAMAGED:
            raise DamagedBitstream("no encoder wrote these words")
        return values


def _first_states(checksum: int) -> U64:
    return np.array([LOWEST + checksum, LOWEST], dtype=np.uint64)
