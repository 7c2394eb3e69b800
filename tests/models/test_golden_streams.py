"""Bitstreams made once and kept: every machine, precision and batch shows the same pictures."""

import numpy as np
import pytest

from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX, QUALITIES
from models.training.scores import psnr_db
from tests.models.golden_streams import GoldenStream, read_all, scores, soft_photograph


@pytest.fixture(scope="module")
def golden() -> list[GoldenStream]:
    return read_all()


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def codec(request: pytest.FixtureRequest) -> Codec:
    return Codec.load(dtype=request.param)


def test_there_is_one_for_each_quality(golden: list[GoldenStream]) -> None:
    assert [one.quality for one in golden] == list(range(QUALITIES))


def test_each_is_read_whatever_the_precision(codec: Codec, golden: list[GoldenStream]) -> None:
    # The checksum in each stream covers the symbols that were encoded: reading at all proves that they are the same.
    assert [codec.read(one.blob).quality for one in golden] == list(range(QUALITIES))


def test_each_shows_the_picture_it_showed_where_it_was_made(codec: Codec, golden: list[GoldenStream]) -> None:
    for one in golden:
        high_db, medium_db = scores(codec, one.blob)
        assert abs(high_db - one.high_db) < 0.05
        assert abs(medium_db - one.medium_db) < 0.05


@pytest.mark.parametrize("size_px", [HIGH_PX, MEDIUM_PX])
def test_a_batch_of_all_shows_what_each_shows_alone(codec: Codec, golden: list[GoldenStream], size_px: int) -> None:
    truth = soft_photograph(size_px)
    together = codec.synthesize([codec.read(one.blob) for one in golden], size_px=size_px)
    for one, picture in zip(golden, together, strict=True):
        expected_db = one.high_db if size_px == HIGH_PX else one.medium_db
        assert abs(psnr_db(truth, picture) - expected_db) < 0.05


def test_an_encoder_in_another_process_or_precision_writes_the_same_symbols_or_nearly(
    codec: Codec, golden: list[GoldenStream]
) -> None:
    # Encoding is float: a symbol on the edge of rounding may fall to the other side on another machine.
    for one in golden[::9]:
        again = codec.read(codec.encode(soft_photograph(HIGH_PX), quality=one.quality))
        assert float(np.mean(again.q != codec.read(one.blob).q)) < 0.001
