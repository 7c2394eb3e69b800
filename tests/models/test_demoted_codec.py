"""Demoted pictures: a medium latent in place of a high one, exact at 172 px and generated at 344 px."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models import bitstream, upscaler
from models.bitstream import BitstreamError, ForeignBitstream
from models.codec import Codec, QualityError
from models.config import HIGH_PX, MEDIUM_PX
from models.demoted_codec import DemotedCodec
from models.medium_codec import MediumCodec
from models.scores import psnr_db
from models.weights_file import CheckpointError
from tests.models.pictures import photograph


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load(kernels="float32")


@pytest.fixture(scope="module")
def demoted(codec: Codec) -> DemotedCodec:
    return DemotedCodec.load(codec)


@pytest.fixture(scope="module")
def high(codec: Codec) -> bytes:
    return codec.encode(photograph(), quality=31)


def test_the_kind_of_a_bitstream_is_in_its_flags(demoted: DemotedCodec, high: bytes) -> None:
    assert bitstream.kind_of(high) == "high"
    assert bitstream.kind_of(demoted.demote(high, quality=20)) == "medium"


def test_a_demoted_picture_takes_fewer_bytes_and_shows_both_sizes(demoted: DemotedCodec, high: bytes) -> None:
    blob = demoted.demote(high, quality=30)
    assert len(blob) < len(high) / 2
    symbols = demoted.read(blob)
    (medium,) = demoted.synthesize([symbols], size_px=MEDIUM_PX)
    (generated,) = demoted.synthesize([symbols], size_px=HIGH_PX)
    assert psnr_db(photograph(size_px=MEDIUM_PX), medium) > 28
    assert generated.shape == (HIGH_PX, HIGH_PX, 3)
    assert psnr_db(photograph(), generated) > 24


def test_its_medium_picture_is_the_medium_codecs_own(demoted: DemotedCodec, high: bytes) -> None:
    blob, alone = demoted.demote(high, quality=40), MediumCodec.load(kernels="float32")
    (ours,), (theirs,) = (
        demoted.synthesize([demoted.read(blob)], size_px=MEDIUM_PX),
        alone.synthesize([alone.read(blob)]),
    )
    assert bool((ours == theirs).all()), "the two pictures differ"


def test_symbols_are_demoted_as_their_bitstream_is(codec: Codec, demoted: DemotedCodec, high: bytes) -> None:
    assert demoted.demote(codec.read(high), quality=20) == demoted.demote(high, quality=20)


def test_a_batch_shows_what_each_shows_alone(demoted: DemotedCodec, high: bytes) -> None:
    symbols = [demoted.read(demoted.demote(high, quality=quality)) for quality in (10, 50)]
    for size_px in (HIGH_PX, MEDIUM_PX):
        together = demoted.synthesize(symbols, size_px=size_px)
        alone = [demoted.synthesize([one], size_px=size_px)[0] for one in symbols]
        assert all(psnr_db(ours, theirs) > 60 for ours, theirs in zip(together, alone, strict=True))


def test_bad_input_is_refused_with_a_typed_error(demoted: DemotedCodec, high: bytes) -> None:
    blob = demoted.demote(high, quality=20)
    with pytest.raises(ForeignBitstream):
        demoted.read(high)
    with pytest.raises(ForeignBitstream):
        demoted.demote(blob, quality=20)
    with pytest.raises(QualityError):
        demoted.demote(high, quality=64)
    with pytest.raises(ValueError, match="cannot decode to 100 px"):
        demoted.synthesize([demoted.read(blob)], size_px=100)
    for place in range(0, len(blob), 97):
        with pytest.raises(BitstreamError):
            demoted.read(blob[:place] + bytes([blob[place] ^ 0x10]) + blob[place + 1 :])


def test_a_head_id_changes_with_the_weights(codec: Codec, demoted: DemotedCodec, tmp_path: Path) -> None:
    trained = upscaler.load()
    torch.nn.init.ones_(trained.network.leave.bias)
    upscaler.save(tmp_path / "other", trained.network, trained.notes)
    other = DemotedCodec.load(codec, upscaler_weights=tmp_path / "other")
    assert other.head_id(HIGH_PX) != demoted.head_id(HIGH_PX)
    assert other.head_id(MEDIUM_PX) == demoted.head_id(MEDIUM_PX)
    assert (
        len(
            {*(demoted.head_id(px) for px in (HIGH_PX, MEDIUM_PX)), *(codec.head_id(px) for px in (HIGH_PX, MEDIUM_PX))}
        )
        == 4
    )


def test_an_upscaler_of_another_medium_autoencoder_is_refused(codec: Codec, tmp_path: Path) -> None:
    trained = upscaler.load()
    upscaler.save(tmp_path / "other", trained.network, replace(trained.notes, stream_id="00000000"))
    with pytest.raises(CheckpointError, match="belongs to the medium autoencoder 00000000"):
        DemotedCodec.load(codec, upscaler_weights=tmp_path / "other")
