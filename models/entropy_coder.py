"""Symbols and scale indexes <-> words, on `constriction`'s ANS coder. Knows tables, not networks.

One stack of words: escapes are pushed first, then y from the last scale index to the first, then z; so popping gives z,
y by rising index (within one index in raster order), escapes. Within an index all symbols share one table, and
constriction runs through them in one call.

Counts and indexes come from z, quality and constants alone, and are bounded before any call: constriction aborts the
whole program on a count that does not fit into memory, and raises KeyError on a symbol outside its table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import constriction
import numpy as np

from models.bitstream import DamagedBitstream
from models.entropy_model import HYPER_LIMIT, SCALE_COUNT, TABLE_TOTAL, hyper_group, support_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]

_SLACK_BITS = 128
"""What the coder's state and its rounding of probabilities may save (assumed, generous)."""
_Model = Any
"""A constriction model: the package publishes no types."""
_ESCAPE_BITS = 20
"""Exp-Golomb classes of escaped symbols: |q| - K - 1 + 1 below 2^20."""


@dataclass(frozen=True)
class CodedSymbols:
    """One latent as integers: z (C, h, w), the coded y in coding order with their escapes resolved, both int32."""

    z: Ints
    y: Ints

    def tobytes(self) -> bytes:
        """What the checksum of the bitstream covers."""
        return self.z.astype("<i1").tobytes() + self.y.astype("<i4").tobytes()


@dataclass(frozen=True)
class CodingOrder:
    """Where the coded symbols stand: flat places (n,), sorted by scale index, and how many fall to each index."""

    places: NDArray[np.int64]
    counts: list[int]


def coding_order(index: NDArray[np.uint8]) -> CodingOrder:
    """Stable order of all symbols by scale index, the skipped ones (index 0) left out."""
    flat = index.reshape(-1)
    counts = np.bincount(flat, minlength=SCALE_COUNT)
    order = np.argsort(flat, kind="stable")
    return CodingOrder(order[counts[0] :], counts.tolist())


class EntropyCoder:
    """The frozen tables of one model as constriction models, and coding with them."""

    def __init__(self, *, symbol_tables: list[NDArray[np.int32]], hyper_tables: NDArray[np.int32]) -> None:
        """Take symbol_tables[i] of 2 K_i + 2 counts and hyper_tables (groups, C, 31); each row sums to 2^16."""
        if [len(table) for table in symbol_tables] != [2 * support_of(index) + 2 for index in range(SCALE_COUNT)]:
            message = "the symbol tables do not have the lengths of this version"
            raise ValueError(message)
        self._symbol_models = [_categorical(table) for table in symbol_tables]
        self._least_bits = np.array([-np.log2(table.max() / TABLE_TOTAL) for table in symbol_tables])
        self._hyper_models = [[_categorical(table) for table in group] for group in hyper_tables]

    def encode(self, symbols: CodedSymbols, order: CodingOrder, *, quality: int) -> bytes:
        """Words of one latent; the caller has bounded |y| below 2^19 and |z| by HYPER_LIMIT."""
        coder = constriction.stream.stack.AnsCoder()
        ends = np.cumsum([0, *order.counts[1:]])
        escaped = []
        plain: list[Ints] = []
        for index in range(1, SCALE_COUNT):
            run, support = symbols.y[ends[index - 1] : ends[index]], support_of(index)
            beyond = np.abs(run) > support
            escaped.append(np.sign(run[beyond]) * (np.abs(run[beyond]) - support))
            plain.append(np.where(beyond, 2 * support + 1, run + support).astype(np.int32))
        _push_escapes(coder, np.concatenate(escaped).astype(np.int32))
        for index in range(SCALE_COUNT - 1, 0, -1):
            if len(plain[index - 1]):
                coder.encode_reverse(plain[index - 1], self._symbol_models[index])
        rows = symbols.z.reshape(len(symbols.z), -1) + HYPER_LIMIT
        for row, model in zip(rows[::-1], self._hyper_models[hyper_group(quality)][::-1], strict=True):
            coder.encode_reverse(np.ascontiguousarray(row, dtype=np.int32), model)
        return np.asarray(coder.get_compressed(), dtype="<u4").tobytes()

    def open(self, words: bytes) -> Popping:
        """Start decoding; the words are a whole number of 32 bits (checked by the bitstream)."""
        try:
            return Popping(self._symbol_models, self._hyper_models, words=words, least_bits=self._least_bits)
        except ValueError as error:  # constriction refuses a stack whose top word is zero
            raise DamagedBitstream("the words are not an entropy coder's") from error


class Popping:
    """Decoding in two steps: z first, then, once z has told the scale indexes, y."""

    def __init__(
        self,
        symbol_models: list[_Model],
        hyper_models: list[list[_Model]],
        *,
        words: bytes,
        least_bits: NDArray[np.float64],
    ) -> None:
        """A decoder over a copy of the words; `least_bits` is what the likeliest symbol of each index takes."""
        self._symbol_models, self._hyper_models = symbol_models, hyper_models
        self._least_bits, self._words_bits = least_bits, 8 * len(words)
        self._coder = constriction.stream.stack.AnsCoder(np.frombuffer(words, dtype="<u4").astype(np.uint32))

    def hyper_latent(self, side: int, *, quality: int) -> Ints:
        """Z as (C, side, side)."""
        rows = [self._coder.decode(model, side * side) for model in self._hyper_models[hyper_group(quality)]]
        return (np.stack(rows) - HYPER_LIMIT).astype(np.int32).reshape(-1, side, side)

    def symbols(self, order: CodingOrder) -> Ints:
        """Y in coding order; raises `DamagedBitstream` when there are too few or too many words for it."""
        # A damaged z asks for far more symbols than the words can hold: refuse before decoding 200,000 of them.
        if float(self._least_bits[1:] @ np.array(order.counts[1:])) > self._words_bits + _SLACK_BITS:
            raise DamagedBitstream("the words are too few for the symbols")
        runs, supports = [], []
        for index in range(1, SCALE_COUNT):
            count = order.counts[index]
            if count:
                support = support_of(index)
                runs.append(self._coder.decode(self._symbol_models[index], count) - support)
                supports.append(np.full(count, support, dtype=np.int32))
        y = np.concatenate(runs).astype(np.int32) if runs else np.zeros(0, np.int32)
        support_of_each = np.concatenate(supports) if supports else y
        beyond = np.flatnonzero(y > support_of_each)
        if len(beyond):
            excess = _pop_escapes(self._coder, len(beyond))
            y[beyond] = excess + np.sign(excess) * support_of_each[beyond]
        if not self._coder.is_empty():
            raise DamagedBitstream("words are left over after the last symbol")
        return y


def _categorical(table: NDArray[np.int32]) -> _Model:
    # Counts over 2^16 are exact in float64; constriction's fixed-point conversion of them is then the same everywhere.
    return constriction.stream.model.Categorical(table.astype(np.float64) / TABLE_TOTAL, lazy=False, perfect=False)


def _push_escapes(coder: constriction.stream.stack.AnsCoder, excess: Ints) -> None:
    """Exp-Golomb of |excess| >= 1 in raw bits: classes, signs, then remainders by class; pushed in reverse."""
    size = np.abs(excess)
    classes = np.floor(np.log2(size.astype(np.float64))).astype(np.int32) if len(size) else size
    for of_class in range(_ESCAPE_BITS - 1, 0, -1):
        chosen = size[classes == of_class] - (1 << of_class)
        if len(chosen):
            coder.encode_reverse(chosen.astype(np.int32), _uniform(1 << of_class))
    if len(size):
        coder.encode_reverse((excess < 0).astype(np.int32), _uniform(2))
        coder.encode_reverse(classes, _uniform(_ESCAPE_BITS))


def _pop_escapes(coder: constriction.stream.stack.AnsCoder, count: int) -> Ints:
    classes = np.asarray(coder.decode(_uniform(_ESCAPE_BITS), count))
    negative = np.asarray(coder.decode(_uniform(2), count)) == 1
    size = (1 << classes).astype(np.int32)
    for of_class in range(1, _ESCAPE_BITS):
        chosen = np.flatnonzero(classes == of_class)
        if len(chosen):
            size[chosen] += np.asarray(coder.decode(_uniform(1 << of_class), len(chosen)))
    return np.where(negative, -size, size).astype(np.int32)


def _uniform(size: int) -> constriction.stream.model.Uniform:
    return constriction.stream.model.Uniform(size)
