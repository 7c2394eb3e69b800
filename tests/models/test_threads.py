"""A codec whose bitstreams are read on many threads, and pictures that are encoded together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models.bitstream import BitstreamError
from models.codec import Codec, PictureShapeError, QualityError, Symbols
from models.picture_array import Pixels
from tests.models.golden_streams import GoldenStream, read_all
from tests.models.pictures import checkerboard, noise, photograph

THREADS, ROUNDS = 4, 2
QUALITIES = [32, 63, 0, 18]


@pytest.fixture(scope="module", params=["exact=int8,heads=float32,analysis=float32", "float32"])
def codec(request: pytest.FixtureRequest) -> Codec:
    return Codec.load(kernels=request.param, head="cpu")


@pytest.fixture(scope="module")
def golden() -> list[GoldenStream]:
    return read_all()


def same(one: Symbols, other: Symbols) -> bool:
    return one.quality == other.quality and np.array_equal(one.h1, other.h1) and np.array_equal(one.q, other.q)


def test_threads_read_at_once_what_each_reads_alone(codec: Codec, golden: list[GoldenStream]) -> None:
    alone = [codec.read(one.blob) for one in golden]
    together = threading.Barrier(THREADS)

    def read_from(start: int) -> bool:
        together.wait(timeout=60)
        order = [(start + 17 * step) % len(golden) for step in range(ROUNDS * len(golden))]
        return all(same(codec.read(golden[place].blob), alone[place]) for place in order)

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(read_from, range(0, 16 * THREADS, 16)))


def test_a_damaged_stream_fails_on_its_thread_alone(codec: Codec, golden: list[GoldenStream]) -> None:
    good, alone = golden[40].blob, codec.read(golden[40].blob)
    damaged = good[:60] + bytes([good[60] ^ 1]) + good[61:]
    together = threading.Barrier(THREADS)

    def read(blob: bytes) -> Symbols | None:
        together.wait(timeout=60)
        try:
            return codec.read(blob)
        except BitstreamError:
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(8):
            found = list(pool.map(read, [good, damaged, good, damaged]))
            assert [one is None for one in found] == [False, True, False, True]
            assert all(one is None or same(one, alone) for one in found)


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    return [photograph(), noise(), photograph()[::-1].copy(), checkerboard()]


def test_encoding_together_on_a_processor_writes_what_encoding_alone_writes(
    codec: Codec, pictures: list[Pixels]
) -> None:
    alone = [codec.encode(pixels, quality=quality) for pixels, quality in zip(pictures, QUALITIES, strict=True)]
    assert codec.encode_together(pictures, qualities=QUALITIES) == alone


def test_one_batch_writes_the_symbols_of_single_pictures_or_nearly(codec: Codec, pictures: list[Pixels]) -> None:
    # What a GPU does. Sums in float32 depend on the batch, so a symbol on the edge of rounding may fall elsewhere.
    together = codec._encode_batch(list(zip(pictures, QUALITIES, strict=True)))
    for blob, pixels, quality in zip(together, pictures, QUALITIES, strict=True):
        here, there = codec.read(blob), codec.read(codec.encode(pixels, quality=quality))
        assert here.quality == quality
        assert np.array_equal(here.h1, there.h1)
        assert float((here.q != there.q).mean()) < 0.001


def test_a_picture_that_cannot_be_encoded_is_refused_before_any_work(codec: Codec) -> None:
    with pytest.raises(PictureShapeError):
        codec.encode_together([photograph(), photograph(size_px=172)], qualities=[32, 32])
    with pytest.raises(QualityError):
        codec.encode_together([photograph()], qualities=[64])
    assert codec.encode_together([], qualities=[]) == []
