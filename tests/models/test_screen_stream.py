"""The screen mode: exact or nearly exact, the same everywhere, chosen from the pixels alone, and safe to read."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from models.bitstream import (
    FLAG_MEDIUM,
    FLAG_SCREEN,
    BitstreamError,
    DamagedBitstream,
    ForeignBitstream,
    TruncatedBitstream,
    kind_of,
    parse,
)
from models.codec import Codec
from models.config import HIGH_PX, MEDIUM_PX
from models.evaluation.screens import find_screens
from models.picture_array import Pixels
from models.pixels import lanczos_half
from models.screen.choice import find_candidate, most_bytes
from models.screen.stream import PAYLOAD_CAP_BYTES, decode, encode_if_smaller, encode_within
from models.screen.stream_ids import SCREEN_STREAM_ID
from tests.models.corruptions import damaged
from tests.models.golden_screens import read_screens
from tests.models.pictures import flat, photograph
from tests.models.screen_pictures import as_stored

HEADER_BYTES = 13
FLAGS_AT, TOLERANCE_AT, MODE_AT = 8, 7, 17


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load(kernels="float32")


@pytest.fixture(scope="module")
def desktop() -> bytes:
    """The stream of a screenshot."""
    stream = encode_if_smaller(as_stored("desktop"))
    assert stream is not None
    return stream


@pytest.mark.parametrize("name", ["text 9", "desktop", "dithered desktop", "logo", "QR 1", "line art"])
def test_a_drawn_picture_is_kept_exactly_in_few_bytes(name: str) -> None:
    pixels = as_stored(name)
    stream = encode_if_smaller(pixels)
    assert stream is not None
    assert len(stream) < 6000
    assert_equal(decode(stream, size_px=HIGH_PX), pixels)
    assert kind_of(stream) == "screen"
    assert parse(stream).quality == 0


@pytest.mark.parametrize("name", ["logo of 1000", "line chart"])
def test_a_resized_drawing_is_nearly_exact_and_flat_parts_are_exact(name: str) -> None:
    pixels = as_stored(name)
    stream = encode_if_smaller(pixels)
    assert stream is not None
    tolerance = parse(stream).quality
    assert tolerance > 0
    decoded = decode(stream, size_px=HIGH_PX)
    assert np.abs(decoded.astype(int) - pixels).max() <= tolerance
    white = (pixels == 255).all(-1)
    inside = white & np.roll(white, 1, 0) & np.roll(white, 1, 1)
    assert (decoded[inside] == 255).all()


def test_the_medium_picture_is_resized_by_lanczos(desktop: bytes) -> None:
    assert_equal(decode(desktop, size_px=MEDIUM_PX), lanczos_half(decode(desktop, size_px=HIGH_PX)))
    with pytest.raises(ValueError, match="sizes"):
        decode(desktop, size_px=100)


@pytest.mark.parametrize("name", ["captioned photograph", "product", "radial gradient", "pixel art of 64"])
def test_a_picture_whose_latent_is_smaller_stays_a_latent(name: str) -> None:
    assert encode_if_smaller(as_stored(name)) is None


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_a_photograph_is_no_candidate(name: str) -> None:
    assert not find_candidate(photograph(name))


def test_a_photograph_with_a_flat_ground_stays_a_latent() -> None:
    pixels = photograph().copy()
    pixels[:170] = pixels[0, 0]
    assert find_candidate(pixels)
    assert encode_if_smaller(pixels) is None


def test_a_stream_never_takes_more_than_the_choice_allows() -> None:
    for name in ("desktop of 1032", "QR 20 resized"):
        pixels = as_stored(name)
        stream = encode_if_smaller(pixels)
        assert stream is not None
        assert len(stream) <= most_bytes(pixels)
        assert encode_within(pixels, 100) is None


def test_golden_streams_decode_and_are_written_again_byte_for_byte() -> None:
    # From their own pixels: the fonts of another release of Pillow draw other letters.
    for golden in read_screens():
        decoded = decode(golden.blob, size_px=HIGH_PX)
        assert golden.is_of(decoded), golden.name
        if parse(golden.blob).quality == 0:
            assert encode_if_smaller(decoded) == golden.blob, golden.name


def test_noise_does_not_fit() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (HIGH_PX, HIGH_PX, 3), dtype=np.uint8)
    assert encode_within(noise, PAYLOAD_CAP_BYTES) is None


@pytest.mark.parametrize(
    ("at", "value", "error"),
    [
        (FLAGS_AT, FLAG_MEDIUM, ForeignBitstream),
        (FLAGS_AT, FLAG_SCREEN | FLAG_MEDIUM, ForeignBitstream),
        (FLAGS_AT, 4, ForeignBitstream),
        (3, 0, ForeignBitstream),
        (TOLERANCE_AT, 5, DamagedBitstream),
        (TOLERANCE_AT, 2, DamagedBitstream),  # allowed, but covered by the checksum
        (MODE_AT, 7, DamagedBitstream),
        (14, 0x55, DamagedBitstream),
    ],
)
def test_a_changed_field_is_a_typed_error(desktop: bytes, at: int, value: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode(desktop[:at] + bytes([value]) + desktop[at + 1 :], size_px=HIGH_PX)


def test_other_lengths_are_typed_errors(desktop: bytes) -> None:
    for blob in (b"", desktop[:5], desktop[:HEADER_BYTES], desktop[: HEADER_BYTES + 5], desktop[:-1], desktop + b"\0"):
        with pytest.raises((DamagedBitstream, TruncatedBitstream, ForeignBitstream)):
            decode(blob, size_px=HIGH_PX)
    with pytest.raises(DamagedBitstream, match="bytes after"):
        decode(desktop + bytes(PAYLOAD_CAP_BYTES), size_px=HIGH_PX)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=some.integers(0, 2**32))
def test_a_damaged_stream_is_an_error_or_the_same_picture(desktop: bytes, seed: int) -> None:
    (other,) = (golden.blob for golden in read_screens() if golden.name == "logo")
    blob = damaged(desktop, other, random.Random(seed))
    try:
        decoded = decode(blob, size_px=HIGH_PX)
    except BitstreamError:
        return
    assert any(np.array_equal(decoded, decode(one, size_px=HIGH_PX)) for one in (desktop, other)), "another picture"


@settings(max_examples=20, deadline=None)
@given(payload=some.binary(max_size=400))
def test_any_bytes_after_a_true_header_are_read_safely(payload: bytes) -> None:
    (logo,) = (golden.blob for golden in read_screens() if golden.name == "logo")
    with pytest.raises(BitstreamError):
        decode(logo[:HEADER_BYTES] + payload, size_px=HIGH_PX)


def test_a_latent_is_no_screen_stream_and_the_other_way_round(codec: Codec, desktop: bytes) -> None:
    latent = codec.encode(flat(90), quality=20)
    assert kind_of(latent) == "high"
    assert parse(desktop).stream_id == SCREEN_STREAM_ID != codec.stream_id
    with pytest.raises(ForeignBitstream):
        decode(latent, size_px=HIGH_PX)
    with pytest.raises(ForeignBitstream):
        codec.read(desktop)


@pytest.mark.parametrize("level", [0, 255])
def test_flat_black_and_white_stay_so(codec: Codec, level: int) -> None:
    pixels = flat(level)
    stream = encode_if_smaller(pixels)
    assert stream is not None
    assert len(stream) < 40
    assert_equal(decode(stream, size_px=HIGH_PX), pixels)
    # A latent keeps them nearly: two thirds of the samples exactly, the others within 3 (measured).
    (picture,) = codec.synthesize([codec.read(codec.encode(pixels, quality=31))], size_px=HIGH_PX)
    assert np.abs(picture.astype(int) - level).max() <= 3


def test_an_evaluation_tells_what_the_screen_mode_would_keep(codec: Codec, tmp_path: Path) -> None:
    for name, pixels in (("logo", as_stored("logo")), ("photograph", photograph())):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (found,) = find_screens(sorted(tmp_path.iterdir()), codec)
    assert found.path.stem == "logo"
    assert (found.screen.quality, found.screen.ssimulacra2) == (0, 100.0)
    assert found.screen.size_bytes < found.latent.size_bytes
    assert found.latent.ssimulacra2 < 90


def assert_equal(found: Pixels, wanted: Pixels) -> None:
    assert np.array_equal(found, wanted), f"{np.count_nonzero(found != wanted)} samples differ"
