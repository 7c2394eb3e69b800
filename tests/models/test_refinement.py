"""Refinement: a better latent of the same picture, for the same decoder."""

import numpy as np
import pytest

from models.checkpoint import load
from models.codec import Codec, QualityError
from models.config import HIGH_PX, quality_lambda
from models.perceptual import distortion
from models.pixels import to_tensor
from models.scores import psnr_db
from tests.models.pictures import photograph

QUALITY = 30


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load()


def cost(codec: Codec, stream: bytes) -> float:
    """Bits a pixel and weighted distortion: what the search makes smaller."""
    (decoded,) = codec.synthesize([codec.read(stream)], size_px=HIGH_PX)
    share = load().notes.perceptual
    seen = float(distortion(to_tensor(decoded), to_tensor(photograph()), perceptual=share))
    return 8 * len(stream) / HIGH_PX**2 + quality_lambda(QUALITY) * seen


def test_no_step_is_the_plain_encoding(codec: Codec) -> None:
    plain = codec.encode(photograph(), quality=QUALITY)
    search = codec.refinement(photograph(), quality=QUALITY, steps=3)
    assert search.bitstream() == plain
    search.step()  # judges the start
    assert search.bitstream() == plain


def test_steps_make_it_better_and_every_decoder_reads_it(codec: Codec) -> None:
    plain = codec.encode(photograph(), quality=QUALITY)
    refined = codec.encode(photograph(), quality=QUALITY, refine=24)
    assert refined != plain
    assert cost(codec, refined) < cost(codec, plain)
    symbols = Codec.load(head="gpu", dtype="float32").read(refined)
    assert symbols.quality == QUALITY
    assert np.array_equal(symbols.h1, codec.read(plain).h1)


def test_it_may_be_made_in_slices(codec: Codec) -> None:
    search = codec.refinement(photograph(), quality=QUALITY, steps=6)
    while not search.done:
        search.step()
    assert search.steps == 6
    assert search.bitstream() == codec.encode(photograph(), quality=QUALITY, refine=6)
    search.step()
    assert search.steps == 6


def test_other_pictures_are_coded_in_between(codec: Codec) -> None:
    search = codec.refinement(photograph(), quality=QUALITY, steps=4)
    alone = codec.encode(photograph("coffee"), quality=QUALITY)
    search.step()
    between = codec.encode(photograph("coffee"), quality=QUALITY)
    assert between == alone
    (decoded,) = codec.synthesize([codec.read(between)], size_px=HIGH_PX)
    assert psnr_db(photograph("coffee"), decoded) > 28


def test_bad_input_is_refused_before_anything_is_searched(codec: Codec) -> None:
    with pytest.raises(QualityError):
        codec.refinement(photograph(), quality=64, steps=1)
