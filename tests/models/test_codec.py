"""The codec as its users see it: at every quality, alone and in batches, in two precisions."""

import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from models.autoencoder import pad_to_cells
from models.bitstream import BitstreamError, ForeignBitstream
from models.checkpoint import load
from models.codec import Codec, PictureShapeError, QualityError, Symbols, head_name
from models.config import HIGH_PX, MEDIUM_PX, QUALITIES, RELEASED
from models.evaluation.cost import flop_counter
from models.evaluation.references import resize
from models.layers import SplitPointwise
from models.medium_codec import MediumCodec
from models.pixels import to_tensor
from models.scores import psnr_db
from models.synthesis import LinearSynthesis
from tests.models.pictures import checkerboard, flat, noise, photograph


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load(kernels="float32")


@pytest.fixture(scope="module")
def half_codec() -> Codec:
    return Codec.load(kernels="bfloat16")


@pytest.fixture(scope="module")
def streams(codec: Codec) -> list[bytes]:
    return [codec.encode(photograph(), quality=quality) for quality in range(QUALITIES)]


def same(one: Symbols, other: Symbols) -> bool:
    return one.quality == other.quality and np.array_equal(one.h1, other.h1) and np.array_equal(one.q, other.q)


def test_one_bitstream_gives_both_sizes(codec: Codec, streams: list[bytes]) -> None:
    symbols = codec.read(streams[codec.default_quality])
    (high,) = codec.synthesize([symbols], size_px=HIGH_PX)
    (medium,) = codec.synthesize([symbols], size_px=MEDIUM_PX)
    assert high.shape == (344, 344, 3)
    assert medium.shape == (172, 172, 3)
    assert 29 < psnr_db(photograph(), high) < 42
    assert 31 < psnr_db(photograph(size_px=MEDIUM_PX), medium) < 45


def test_the_translators_picture_is_close_to_the_high_picture_made_smaller(codec: Codec, streams: list[bytes]) -> None:
    symbols = codec.read(streams[codec.default_quality])
    (high,) = codec.synthesize([symbols], size_px=HIGH_PX)
    (medium,) = codec.synthesize([symbols], size_px=MEDIUM_PX)
    truth = photograph(size_px=MEDIUM_PX)
    assert psnr_db(truth, medium) > psnr_db(truth, resize(high, MEDIUM_PX)) - 1.0


def test_bytes_and_quality_rise_together(codec: Codec, streams: list[bytes]) -> None:
    steps = list(range(0, QUALITIES, 9))
    pictures = [codec.synthesize([codec.read(streams[quality])], size_px=HIGH_PX)[0] for quality in steps]
    assert all(len(streams[low]) < len(streams[high]) for low, high in pairwise(steps))
    scores = [psnr_db(photograph(), picture) for picture in pictures]
    assert all(low < high for low, high in pairwise(scores))


def test_symbols_are_the_same_whatever_the_precision_of_the_heads(
    codec: Codec, half_codec: Codec, streams: list[bytes]
) -> None:
    assert codec.stream_id == half_codec.stream_id
    assert all(same(codec.read(stream), half_codec.read(stream)) for stream in streams)


def test_pictures_cross_precisions_at_all_qualities_within_a_twentieth_of_a_decibel(
    codec: Codec, half_codec: Codec, streams: list[bytes]
) -> None:
    symbols = [codec.read(stream) for stream in streams]
    for size_px in (HIGH_PX, MEDIUM_PX):
        truth = photograph(size_px=size_px)
        full, half = (one.synthesize(symbols, size_px=size_px) for one in (codec, half_codec))
        for there, here in zip(full, half, strict=True):
            assert abs(psnr_db(truth, there) - psnr_db(truth, here)) < 0.05


@pytest.mark.parametrize("quality", [0, 21, 42, 63])
def test_an_encoder_in_half_precision_is_as_good(
    codec: Codec, half_codec: Codec, streams: list[bytes], quality: int
) -> None:
    stream = half_codec.encode(photograph(), quality=quality)
    assert abs(len(stream) / len(streams[quality]) - 1) < 0.005
    here, there = (
        psnr_db(photograph(), codec.synthesize([codec.read(one)], size_px=HIGH_PX)[0])
        for one in (stream, streams[quality])
    )
    assert abs(here - there) < 0.02


def test_a_quality_codes_its_first_channels_and_never_fewer_than_a_lower_one(
    codec: Codec, streams: list[bytes]
) -> None:
    counts = [RELEASED.high.coded_channels(quality) for quality in range(QUALITIES)]
    assert all(count % 32 == 0 for count in counts)
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (96, RELEASED.high.latent_channels)
    assert [codec.read(stream).q.shape[1] for stream in streams[::9]] == counts[::9]


@pytest.mark.parametrize(("kernels", "least_db"), [("bfloat16", 54), ("float32", 75)])
@pytest.mark.parametrize("head", ["cpu", "gpu"])
def test_the_fast_way_on_a_processor_shows_what_the_plain_one_shows(
    streams: list[bytes], head: str, kernels: str, least_db: float
) -> None:
    fast, plain = Codec.load(kernels=kernels, head=head), Codec.load(kernels="float32", head=head)
    for stream in streams[::7]:
        symbols = [fast.read(stream)]
        for size_px in (HIGH_PX, MEDIUM_PX):
            (here,), (there,) = (
                fast.synthesize(symbols, size_px=size_px),
                plain.synthesize_plainly(symbols, size_px=size_px),
            )
            # a tap or a neighbour out of place is 40 dB
            assert psnr_db(there, here) > least_db


@pytest.mark.parametrize("count", [2, 7, 64])
def test_a_batch_gives_what_each_gives_alone(codec: Codec, streams: list[bytes], count: int) -> None:
    symbols = [codec.read(stream) for stream in streams[:count]]
    for size_px in (HIGH_PX, MEDIUM_PX):
        together = codec.synthesize(symbols, size_px=size_px)
        for one, picture in zip(symbols, together, strict=True):
            (alone,) = codec.synthesize([one], size_px=size_px)
            assert int(np.abs(alone.astype(int) - picture).max()) <= 1


@pytest.mark.parametrize("quality", [0, 31, 63])
@pytest.mark.parametrize(
    "picture",
    [noise(), checkerboard(), flat(0), flat(255), flat(127)],
    ids=["noise", "checks", "black", "white", "grey"],
)
def test_pictures_unlike_photographs_survive(codec: Codec, picture: np.ndarray, quality: int) -> None:
    stream = codec.encode(picture, quality=quality)
    symbols = codec.read(stream)
    (decoded,) = codec.synthesize([symbols], size_px=HIGH_PX)
    assert decoded.shape == picture.shape
    # noise is the worst there is: 24 bits a pixel raw
    assert len(stream) < picture.nbytes / 2


def test_a_flat_picture_takes_little_and_stays_flat(codec: Codec) -> None:
    stream = codec.encode(flat(127), quality=codec.default_quality)
    (decoded,) = codec.synthesize([codec.read(stream)], size_px=HIGH_PX)
    assert len(stream) < 1200
    assert psnr_db(flat(127), decoded) > 35


def test_the_medium_autoencoder_is_a_codec_of_its_own(codec: Codec) -> None:
    medium = MediumCodec.load(kernels="float32")
    truth = photograph(size_px=MEDIUM_PX)
    streams = [medium.encode(truth, quality=quality) for quality in (0, 31, 63)]
    scores = [psnr_db(truth, medium.synthesize([medium.read(stream)])[0]) for stream in streams]
    assert all(low < high for low, high in pairwise(scores))
    assert scores[1] > 28
    with pytest.raises(ForeignBitstream):
        codec.read(streams[1])
    with pytest.raises(ForeignBitstream):
        medium.read(codec.encode(photograph(), quality=31))


def test_bad_input_is_refused_with_a_typed_error(codec: Codec) -> None:
    with pytest.raises(QualityError):
        codec.encode(photograph(), quality=64)
    with pytest.raises(QualityError):
        codec.encode(photograph(), quality=-1)
    with pytest.raises(PictureShapeError):
        codec.encode(photograph(size_px=MEDIUM_PX), quality=30)
    with pytest.raises(BitstreamError):
        codec.read(b"")


def test_ids_name_stream_and_heads(codec: Codec) -> None:
    ids = {codec.stream_id, codec.head_id(HIGH_PX), codec.head_id(MEDIUM_PX)}
    assert len(ids) == 3
    assert all(len(one) == 4 for one in ids)


def test_both_pairs_of_heads_read_one_latent_and_have_head_ids_of_their_own(streams: list[bytes]) -> None:
    light, better = (Codec.load(kernels="float32", head=head) for head in ("cpu", "gpu"))
    assert (light.head, better.head) == ("high-cpu", "high-gpu")
    assert light.stream_id == better.stream_id
    assert light.head_id(HIGH_PX) != better.head_id(HIGH_PX)
    assert light.head_id(MEDIUM_PX) != better.head_id(MEDIUM_PX)
    for stream in streams[8::9]:
        scores = [
            psnr_db(photograph(), one.synthesize([one.read(stream)], size_px=HIGH_PX)[0]) for one in (light, better)
        ]
        assert scores[1] - 2 < scores[0] < scores[1] + 0.2


def test_the_head_follows_the_device_unless_it_is_chosen() -> None:
    assert head_name("auto", "cpu") == "high-cpu"
    assert head_name("auto", "cuda") == "high-gpu"
    assert head_name("gpu", "cpu") == "high-gpu"
    with pytest.raises(ValueError, match="auto, cpu or gpu"):
        head_name("best", "cpu")


def macs(codec: Codec, stream: bytes, size_px: int) -> int:
    """Multiplications of one decode, exact path and means included; the plain way, which computes all channels."""
    with flop_counter() as counter:
        codec.synthesize_plainly([codec.read(stream)], size_px=size_px)
    return int(counter.get_total_flops()) // 2


def test_decoders_keep_their_budgets(streams: list[bytes]) -> None:
    stream = streams[-1]
    assert macs(Codec.load(head="cpu"), stream, HIGH_PX) <= 150_000_000
    assert macs(Codec.load(head="cpu"), stream, MEDIUM_PX) <= 200_000_000
    assert macs(Codec.load(head="gpu"), stream, HIGH_PX) <= 7_000_000_000
    assert macs(Codec.load(head="gpu"), stream, MEDIUM_PX) <= 1_000_000_000


def test_the_quiet_part_of_a_linear_path_may_be_in_half_precision() -> None:
    networks = load().high.networks
    with torch.no_grad():
        y = networks.analysis(pad_to_cells(to_tensor(photograph()), RELEASED.high), networks.hyperprior.deviation)
        assert isinstance(networks.head.linear, LinearSynthesis)
        whole = networks.head.linear.block
        errors = SplitPointwise(whole, torch.bfloat16)(y) - whole(y)
    assert -10 * math.log10(float(errors.square().mean())) > 70


FIRST_REQUEST = """
import inspect, sys

from models import rans
from models.codec import Codec
from models.cpu import dct_loops, loops
from models.machine_code import compile_loop
from tests.models.pictures import photograph

def made():
    every = [rans.push, rans.pop]
    for module in (loops, dct_loops):
        own = [one for name, one in vars(module).items() if inspect.isfunction(one) and not name.startswith("_")]
        every += [one for one in own if one.__module__ == module.__name__]
    return {one.__name__: len(compile_loop(one).signatures) for one in every}

codec = Codec.load(kernels=sys.argv[1], head=sys.argv[2])
before = made()
symbols = [codec.read(codec.encode(photograph(), quality=40))]
for size_px in (344, 172):
    codec.synthesize(symbols, size_px=size_px)
assert before == made() and before["push"] and before["pop"], (before, made())
assert sum(map(bool, before.values())) > 12, before
"""


@pytest.mark.parametrize("head", ["cpu", "gpu"])
@pytest.mark.parametrize("kernels", ["float32", "exact=int8,heads=bfloat16,analysis=float32"])
def test_nothing_is_left_to_compile_within_the_first_request(kernels: str, head: str) -> None:
    subprocess.run([sys.executable, "-c", FIRST_REQUEST, kernels, head], check=True, cwd=Path(__file__).parents[2])
