"""Symbols to words and back: every table, every escape, and bytes that never change."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bitstream import DamagedBitstream
from models.entropy_coder import CodedSymbols, EntropyCoder, coding_order
from models.entropy_model import (
    HYPER_GROUPS,
    HYPER_LIMIT,
    SCALE_COUNT,
    TABLE_TOTAL,
    HyperLatentModel,
    SymbolModel,
    hyper_tables,
    integer_table,
    support_of,
    symbol_tables,
)

CHANNELS, SIDE = 4, 3


@pytest.fixture(scope="module")
def coder() -> EntropyCoder:
    symbols = [table.numpy() for table in symbol_tables(SymbolModel())]
    return EntropyCoder(symbol_tables=symbols, hyper_tables=hyper_tables(HyperLatentModel(CHANNELS)).numpy())


def round_trip(coder: EntropyCoder, symbols: CodedSymbols, index: np.ndarray, *, quality: int = 30) -> CodedSymbols:
    order = coding_order(index)
    popping = coder.open(coder.encode(symbols, order, quality=quality))
    return CodedSymbols(popping.hyper_latent(SIDE, quality=quality), popping.symbols(order))


def some_z(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-HYPER_LIMIT, HYPER_LIMIT + 1, size=(CHANNELS, SIDE, SIDE)).astype(np.int32)


@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([1, 30, 3000, (1 << 15) - 1]))
@settings(max_examples=40, deadline=None)
def test_any_symbols_come_back(coder: EntropyCoder, seed: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    index = rng.integers(0, SCALE_COUNT, size=(8, 6, 6)).astype(np.uint8)
    count = int((index > 0).sum())
    symbols = CodedSymbols(some_z(rng), rng.integers(-spread, spread + 1, size=count).astype(np.int32))
    found = round_trip(coder, symbols, index)
    assert np.array_equal(found.z, symbols.z)
    assert np.array_equal(found.y, symbols.y)


def test_a_picture_of_skipped_symbols_only_has_no_y(coder: EntropyCoder) -> None:
    symbols = CodedSymbols(some_z(np.random.default_rng(0)), np.zeros(0, np.int32))
    found = round_trip(coder, symbols, np.zeros((8, 6, 6), np.uint8))
    assert np.array_equal(found.z, symbols.z)
    assert len(found.y) == 0


def test_symbols_are_coded_by_rising_index_and_in_raster_order_within_one() -> None:
    order = coding_order(np.array([[[2, 0], [1, 2]]], dtype=np.uint8))
    assert order.places.tolist() == [2, 0, 3]
    assert order.counts[:3] == [1, 1, 2]


def test_words_left_over_are_damage(coder: EntropyCoder) -> None:
    rng = np.random.default_rng(5)
    index = rng.integers(1, 20, size=(2, 4, 4)).astype(np.uint8)
    order = coding_order(index)
    words = coder.encode(CodedSymbols(some_z(rng), np.zeros(32, np.int32)), order, quality=0)
    popping = coder.open(b"\x01\0\0\0" * 4 + words)
    popping.hyper_latent(SIDE, quality=0)
    with pytest.raises(DamagedBitstream, match="left over"):
        popping.symbols(order)


def test_a_top_word_of_zero_is_damage(coder: EntropyCoder) -> None:
    with pytest.raises(DamagedBitstream, match="not an entropy coder's"):
        coder.open(b"\x01\0\0\0\0\0\0\0")


def test_tables_sum_to_their_total_and_leave_nothing_impossible() -> None:
    for table in symbol_tables(SymbolModel()):
        assert int(table.sum()) == TABLE_TOTAL
        assert int(table.min()) >= 1
    hyper = hyper_tables(HyperLatentModel(CHANNELS))
    assert tuple(hyper.shape) == (HYPER_GROUPS, CHANNELS, 2 * HYPER_LIMIT + 1)
    assert bool((hyper.sum(-1) == TABLE_TOTAL).all())


def test_an_integer_table_keeps_the_proportions() -> None:
    assert integer_table(torch.tensor([1.0, 2.0, 1.0]), total=400).tolist() == [100, 200, 100]
    assert integer_table(torch.tensor([0.0, 1.0]), total=16).tolist() == [1, 15]


def triangular_coder() -> EntropyCoder:
    """Tables from integers alone, so that the golden words depend on the coder only."""
    symbols = []
    for index in range(SCALE_COUNT):
        support = support_of(index)
        rising = torch.arange(1, support + 1)
        symbols.append(integer_table(torch.cat([rising, torch.tensor([support + 1]), rising.flip(0), torch.ones(1)])))
    hyper = integer_table(torch.ones(2 * HYPER_LIMIT + 1)).expand(HYPER_GROUPS, CHANNELS, -1)
    return EntropyCoder(symbol_tables=[table.numpy() for table in symbols], hyper_tables=hyper.numpy())


def test_the_words_never_change() -> None:
    index = (np.arange(2 * 4 * 4, dtype=np.uint8) % 8).reshape(2, 4, 4)
    z = (np.arange(CHANNELS * SIDE * SIDE, dtype=np.int32) % 5 - 2).reshape(CHANNELS, SIDE, SIDE)
    y = np.arange(28, dtype=np.int32) % 3 - 1
    y[27] = 1000
    words = triangular_coder().encode(CodedSymbols(z, y), coding_order(index), quality=30)
    assert words.hex() == "f31e702f81f3971e51cd7543251892fb0381885aec137843a2bc6fdd04067179c41a4d00"
