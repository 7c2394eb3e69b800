"""Refinement: a better latent of the same picture, for the same decoder."""

import numpy as np
import pytest

from models.codec import Codec, QualityError
from models.config import HIGH_PX, quality_lambda
from models.perceptual import distortion
from models.picture_array import Pixels
from models.pixels import to_tensor
from models.readers import Readers
from models.scores import psnr_db
from tests.models.pictures import photograph

QUALITY = 30
STEPS = 40
"""As many as are recommended on a CPU. With 12 the search finds nothing better than the plain encoding."""


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load()


def cost(codec: Codec, stream: bytes, picture: Pixels | None = None, quality: int = QUALITY) -> float:
    """Bits a pixel and weighted distortion: what the search makes smaller."""
    original = photograph() if picture is None else picture
    (decoded,) = codec.synthesize([codec.read(stream)], size_px=HIGH_PX)
    seen = float(distortion(to_tensor(decoded), to_tensor(original), perceptual=0.1))
    return 8 * len(stream) / HIGH_PX**2 + quality_lambda(quality) * seen


def test_no_step_is_the_plain_encoding(codec: Codec) -> None:
    plain = codec.encode(photograph(), quality=QUALITY)
    search = codec.refinement([photograph()], qualities=[QUALITY], steps=0)
    assert search.is_done
    assert search.bitstreams() == [plain]


def test_steps_make_it_better_and_every_decoder_reads_it(codec: Codec) -> None:
    plain = codec.encode(photograph(), quality=QUALITY)
    refined = codec.encode(photograph(), quality=QUALITY, refine=STEPS)
    assert refined != plain
    assert cost(codec, refined) < cost(codec, plain)
    symbols = Codec.load(head="gpu", kernels="float32").read(refined)
    assert symbols.quality == QUALITY
    assert np.array_equal(symbols.h1, codec.read(plain).h1)


def test_it_may_be_made_in_slices(codec: Codec) -> None:
    search = codec.refinement([photograph()], qualities=[QUALITY], steps=6)
    while not search.is_done:
        search.step()
    assert search.steps == 6
    assert search.bitstreams() == [codec.encode(photograph(), quality=QUALITY, refine=6)]
    search.step()
    assert search.steps == 6


def test_other_pictures_are_coded_in_between(codec: Codec) -> None:
    search = codec.refinement([photograph()], qualities=[QUALITY], steps=4)
    alone = codec.encode(photograph("coffee"), quality=QUALITY)
    search.step()
    between = codec.encode(photograph("coffee"), quality=QUALITY)
    assert between == alone
    (decoded,) = codec.synthesize([codec.read(between)], size_px=HIGH_PX)
    assert psnr_db(photograph("coffee"), decoded) > 28


def test_pictures_are_searched_together_each_at_its_own_quality(codec: Codec) -> None:
    pictures, qualities = [photograph(), photograph("coffee")], [QUALITY, 20]
    search = codec.refinement(pictures, qualities=qualities, steps=STEPS)
    while not search.is_done:
        search.step()
    for picture, quality, found in zip(pictures, qualities, search.bitstreams(), strict=True):
        plain = codec.encode(picture, quality=quality)
        assert codec.read(found).quality == quality
        assert cost(codec, found, picture, quality) < cost(codec, plain, picture, quality)


def test_the_head_that_is_searched_for_gains_most() -> None:
    gained = {}
    for name in ("high-gpu", "high-cpu"):
        codec = Codec.load(head=name.removeprefix("high-"))
        plain = codec.encode(photograph(), quality=QUALITY)
        for reader in ("high-gpu", "high-cpu"):
            search = codec.refinement(
                [photograph()], qualities=[QUALITY], steps=24, readers=Readers.read(f"{reader},medium=0.2")
            )
            while not search.is_done:
                search.step()
            gained[name, reader] = cost(codec, plain) - cost(codec, search.bitstreams()[0])
    assert gained["high-gpu", "high-gpu"] > gained["high-gpu", "high-cpu"]
    assert gained["high-cpu", "high-cpu"] > gained["high-cpu", "high-gpu"]


def test_a_search_that_has_gone_astray_leaves_the_plain_encoding(codec: Codec) -> None:
    plain = codec.encode(photograph(), quality=QUALITY)
    search = codec.refinement([photograph()], qualities=[QUALITY], steps=40)
    search.step()  # rounded after one step of a hot start, the latent is worse than the encoder's own rounding
    assert search.bitstreams() == [plain]


def test_bad_input_is_refused_before_anything_is_searched(codec: Codec) -> None:
    with pytest.raises(QualityError):
        codec.refinement([photograph()], qualities=[64], steps=1)
