"""Entropy coding: symbols and scale indexes <-> 32-bit words, by the interleaved ANS of rans.py. No networks.

z is decoded first. The caller computes the scale indexes from it, and with them y is decoded: position by position of
the latent grid, all channels of a position together. The table of a symbol depends on z, the quality and constants
only.

The encoder's first ANS state starts at LOWEST plus a checksum from the caller, its second state at LOWEST. Decoding
must end at the same two states with no word left; otherwise the words are damaged. The checksum must cover the symbols,
because a bit error inside an escape does not change the final states.
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
"""32-bit words that hold the two final 64-bit states, low word first. The other words follow, last written first."""


class EntropyCoder:
    """Encodes and decodes symbols with the integer CDF tables of one autoencoder."""

    def __init__(self, *, symbol_tables: list[Ints], hyper_tables: Ints) -> None:
        """Build the coder from its tables of counts; each table sums to 2^16.

        symbol_tables[i] holds 2 K + 2 counts for scale index i, where K = `support_of(i)`; the last count is the
        escape. hyper_tables is (groups of qualities, C, 31). Raises `ValueError` where a length is wrong.
        """
        supports = [support_of(index) for index in range(SCALE_COUNT)]
        if [len(table) for table in symbol_tables] != [2 * support + 2 for support in supports]:
            raise ValueError(
                "a symbol table does not have 2 * support_of(index) + 2 counts: the weights are of another version"
            )
        groups, self._hyper_channels, _ = hyper_tables.shape
        hyper_rows = list(hyper_tables.reshape(groups * self._hyper_channels, -1))
        self._tables = pack_tables(symbol_tables + hyper_rows, supports + [HYPER_LIMIT] * len(hyper_rows))
        self._push, self._pop = compile_loop(push), compile_loop(pop)
        self._compile()

    def _compile(self) -> None:
        """Compile the loops now, so that the first request does not wait: about two seconds without numba's cache."""
        nothing, index = np.zeros(0, np.int16), np.zeros(0, np.uint16)
        words = self.encode(np.zeros((self._hyper_channels, 0, 0), np.int16), nothing, index, quality=0, checksum=0)
        self.open(words).symbols(index)

    def encode(self, z: I16, q: I16, index: U16, *, quality: int, checksum: int) -> bytes:
        """Return the words of one latent: z (C, h, w), and q (n,) and its scale indexes (n,) in coding order.

        |z| and |q| must be below 2^15.
        """
        chosen = self.hyper_choice(z[0].size, quality)
        words = np.empty(WORDS_A_VALUE * (z.size + len(q)) + _STATE_WORDS, np.uint32)
        states = _first_states(checksum)
        at = self._push(q, index, self._tables, states, words, 0)
        at = self._push(z.reshape(-1), chosen, self._tables, states, words, at)
        return states.astype("<u8").tobytes() + words[:at][::-1].astype("<u4").tobytes()

    def open(self, words: bytes) -> Decoding:
        """Return a `Decoding` of the words, whose length is a multiple of 4 bytes (bitstream.py has checked it).

        Raises `DamagedBitstream` where they are too short to hold the two states.
        """
        if len(words) < 4 * _STATE_WORDS:
            raise DamagedBitstream(f"the entropy-coded part has {len(words)} bytes, the coder's states need 16")
        return Decoding(self, words)

    def hyper_choice(self, places: int, quality: int) -> U16:
        """Return the table number of each hyper-latent, (C * places,): `places` grid positions, channel by channel."""
        first = SCALE_COUNT + hyper_group(quality) * self._hyper_channels
        return np.repeat(np.arange(first, first + self._hyper_channels, dtype=np.uint16), places)

    def pop(self, chosen: U16, states: U64, words: U32, at: int) -> tuple[I16, int]:
        """Decode values (n,) by the tables in `chosen` (n,); return them and the index of the next unread word.

        The index is DAMAGED if no encoder can have written these words.
        """
        values = np.empty(len(chosen), np.int16)
        return values, self._pop(values, chosen, self._tables, states, words, at)


class Decoding:
    """The decoding of one latent: call `hyper_latent`, then `symbols`, then `check`, once each."""

    def __init__(self, coder: EntropyCoder, words: bytes) -> None:
        """Read the two ANS states from the start of `words`; they are copied, because decoding updates them."""
        self._coder = coder
        self._states = np.frombuffer(words, "<u8", count=2).astype(np.uint64)
        self._words = np.frombuffer(words, "<u4", offset=4 * _STATE_WORDS).astype(np.uint32, copy=False)
        self._at = 0

    def hyper_latent(self, side: int, *, quality: int) -> I16:
        """Decode z (C, side, side). Raises `DamagedBitstream`."""
        return self._pop_values(self._coder.hyper_choice(side * side, quality)).reshape(-1, side, side)

    def symbols(self, index: U16) -> I16:
        """Decode q (n,) by its scale indexes (n,); q is 0 where the index is 0. Raises `DamagedBitstream`."""
        return self._pop_values(index)

    def check(self, *, checksum: int) -> None:
        """Raise `DamagedBitstream` unless all words have been read and the two states are those of `checksum`."""
        if self._at != len(self._words):
            raise DamagedBitstream("the entropy-coded part has words left over after its last symbol")
        if not np.array_equal(self._states, _first_states(checksum)):
            raise DamagedBitstream("the checksum does not match the decoded header and symbols")

    def _pop_values(self, chosen: U16) -> I16:
        values, self._at = self._coder.pop(chosen, self._states, self._words, self._at)
        if self._at == DAMAGED:
            raise DamagedBitstream("the entropy-coded part ends too early or holds a value beyond 16 bits")
        return values


def _first_states(checksum: int) -> U64:
    return np.array([LOWEST + checksum, LOWEST], dtype=np.uint64)
