"""Symbols to words and back: every table, every escape, compiled or not, and bytes that never change."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bitstream import DamagedBitstream
from models.entropy_coder import EntropyCoder
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
from models.machine_code import compile_loop
from models.rans import DAMAGED, LOWEST, WORDS_A_VALUE, pack_tables, pop, push

CHANNELS, SIDE = 4, 3
LARGEST = (1 << 15) - 1
CHECKSUM = 0xFFFFFFFF


@pytest.fixture(scope="module")
def coder() -> EntropyCoder:
    symbols = [table.numpy() for table in symbol_tables(SymbolModel())]
    return EntropyCoder(symbol_tables=symbols, hyper_tables=hyper_tables(HyperLatentModel(CHANNELS)).numpy())


def some_z(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-HYPER_LIMIT, HYPER_LIMIT + 1, size=(CHANNELS, SIDE, SIDE)).astype(np.int16)


@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0, 1, 30, 3000, LARGEST]))
@settings(max_examples=40, deadline=None)
def test_any_symbols_come_back(coder: EntropyCoder, seed: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    index = rng.integers(0, SCALE_COUNT, size=300).astype(np.uint16)
    z, q = some_z(rng), (rng.integers(-spread, spread + 1, size=300) * (index > 0)).astype(np.int16)
    decoding = coder.open(coder.encode(z, q, index, quality=30, checksum=seed))
    assert np.array_equal(decoding.hyper_latent(SIDE, quality=30), z)
    assert np.array_equal(decoding.symbols(index), q)
    decoding.check(checksum=seed)


def test_every_value_of_every_table_comes_back(coder: EntropyCoder) -> None:
    index = np.arange(1, SCALE_COUNT, dtype=np.uint16).repeat(2 * 300 + 1)
    q = np.tile(np.arange(-300, 301, dtype=np.int16), SCALE_COUNT - 1)
    q[:2] = -LARGEST, LARGEST
    decoding = coder.open(coder.encode(some_z(np.random.default_rng(1)), q, index, quality=63, checksum=CHECKSUM))
    decoding.hyper_latent(SIDE, quality=63)
    assert np.array_equal(decoding.symbols(index), q)
    decoding.check(checksum=CHECKSUM)


@pytest.mark.filterwarnings("error")  # plain Python tells of an overflow, which machine code does not
def test_machine_code_writes_and_reads_what_plain_python_does() -> None:
    tables = pack_tables(
        [table.numpy() for table in symbol_tables(SymbolModel())], [*map(support_of, range(SCALE_COUNT))]
    )
    rng = np.random.default_rng(7)
    chosen = rng.integers(0, SCALE_COUNT, size=4000).astype(np.uint16)
    values = np.rint(rng.laplace(scale=1 + 3.0 ** (chosen / 8.0))).clip(-LARGEST, LARGEST).astype(np.int16)
    values[chosen == 0] = 0

    def pushed(run: object) -> tuple[list[int], list[int]]:
        states, words = (
            np.array([LOWEST + CHECKSUM, LOWEST], np.uint64),
            np.zeros(WORDS_A_VALUE * len(values), np.uint32),
        )
        at = run(values, chosen, tables, states, words, 0)  # type: ignore[operator]
        return states.tolist(), words[:at].tolist()

    states, words = pushed(push)
    assert pushed(compile_loop(push)) == (states, words)
    for run in (pop, compile_loop(pop)):
        found, ending = np.empty_like(values), np.array(states, np.uint64)
        reading = np.array(words[::-1], np.uint32)
        assert run(found, chosen, tables, ending, reading, 0) == len(words)
        assert np.array_equal(found, values)
        assert ending.tolist() == [LOWEST + CHECKSUM, LOWEST]


@pytest.mark.filterwarnings("error")
def test_whatever_the_words_are_nothing_is_read_beyond_them() -> None:
    tables = pack_tables(
        [table.numpy() for table in symbol_tables(SymbolModel())], [*map(support_of, range(SCALE_COUNT))]
    )
    chosen = np.arange(2000, dtype=np.uint16) % SCALE_COUNT
    for seed in range(30):
        rng = np.random.default_rng(seed)
        words = rng.integers(0, 1 << 32, size=rng.integers(0, 40), dtype=np.uint32)
        first = rng.integers(0, 1 << 64, size=2, dtype=np.uint64)
        outcomes = []
        for run in (pop, compile_loop(pop)):
            values, states = np.zeros(len(chosen), np.int16), first.copy()
            at = run(values, chosen, tables, states, words, 0)
            assert at == DAMAGED or at <= len(words)
            outcomes.append((at, values.tolist()))
        assert outcomes[0] == outcomes[1]


def test_an_escape_that_nobody_writes_is_damage(coder: EntropyCoder) -> None:
    index, z = np.ones(1, np.uint16), some_z(np.random.default_rng(0))
    words = coder.encode(z, np.full(1, LARGEST, np.int16), index, quality=0, checksum=0)
    impossible = 0
    for place in range(8 * len(words)):
        flipped = bytearray(words)
        flipped[place // 8] ^= 1 << place % 8
        decoding = coder.open(bytes(flipped))
        decoding.hyper_latent(SIDE, quality=0)
        try:
            found = decoding.symbols(index)
        except DamagedBitstream:
            impossible += 1
        else:
            assert abs(int(found[0])) <= LARGEST
    assert impossible > 0


def test_a_picture_of_skipped_symbols_only_has_no_y(coder: EntropyCoder) -> None:
    z, index = some_z(np.random.default_rng(0)), np.zeros(300, np.uint16)
    words = coder.encode(z, np.zeros(300, np.int16), index, quality=30, checksum=0)
    assert words == coder.encode(z, np.zeros(0, np.int16), index[:0], quality=30, checksum=0)
    decoding = coder.open(words)
    assert np.array_equal(decoding.hyper_latent(SIDE, quality=30), z)
    assert not decoding.symbols(index).any()
    decoding.check(checksum=0)


def test_words_left_over_another_seal_and_missing_states_are_damage(coder: EntropyCoder) -> None:
    index = np.random.default_rng(5).integers(1, 20, size=32).astype(np.uint16)
    words = coder.encode(some_z(np.random.default_rng(5)), np.zeros(32, np.int16), index, quality=0, checksum=CHECKSUM)
    for blob, checksum, message in ((words + b"\x01\0\0\0", CHECKSUM, "left over"), (words, CHECKSUM - 1, "checksum")):
        decoding = coder.open(blob)
        decoding.hyper_latent(SIDE, quality=0)
        decoding.symbols(index)
        with pytest.raises(DamagedBitstream, match=message):
            decoding.check(checksum=checksum)
    with pytest.raises(DamagedBitstream, match="states"):
        coder.open(words[:12])


def test_a_few_bits_of_overhead_and_no_more(coder: EntropyCoder) -> None:
    """The words take what the tables' probabilities say, and at most the two states."""
    tables = [table.double() / TABLE_TOTAL for table in symbol_tables(SymbolModel())]
    index, z = np.full(20_000, 30, np.uint16), some_z(np.random.default_rng(3))
    shares = tables[30][:-1].numpy() / float(tables[30][:-1].sum())
    q = (np.random.default_rng(4).choice(len(shares), size=len(index), p=shares) - support_of(30)).astype(np.int16)
    bits = -np.log2(tables[30].numpy()[q + support_of(30)]).sum()
    alone = len(coder.encode(z, q[:0], index[:0], quality=0, checksum=0))
    took = 8 * (len(coder.encode(z, q, index, quality=0, checksum=0)) - alone)
    assert abs(took - bits) < 64 + 0.0001 * bits


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
    index = np.arange(32, dtype=np.uint16) % 8
    z = (np.arange(CHANNELS * SIDE * SIDE, dtype=np.int16) % 5 - 2).reshape(CHANNELS, SIDE, SIDE)
    q = (np.arange(32, dtype=np.int16) % 3 - 1) * (index > 0)
    q[31] = 1000
    words = triangular_coder().encode(z, q, index, quality=30, checksum=0x11223344)
    assert words.hex() == "3772c4526773650b6174e181601e0000377c734d727dc205997484c30a799c1d3788fd439d9675d756b7a5d9"
