"""The wire format: exact bytes, and a typed error for everything else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import bitstream
from models.bitstream import Bitstream, BitstreamError, DamagedBitstream, ForeignBitstream, TruncatedBitstream

SAMPLE = Bitstream(stream_id=b"\x01\x02\x03\x04", quality=24, flags=0, width_px=344, height_px=344, words=b"\x05\0\0\0")
GOLDEN = bytes.fromhex("4c4502010203041800d802d80205000000")


def test_the_bytes_of_a_bitstream_never_change() -> None:
    assert bitstream.build(SAMPLE) == GOLDEN
    assert bitstream.parse(GOLDEN) == SAMPLE


def test_a_high_bitstream_has_13_bytes_beside_its_words() -> None:
    assert SAMPLE.header_bytes == 13
    assert len(GOLDEN) == 13 + len(SAMPLE.words)


def test_a_medium_bitstream_names_its_own_size() -> None:
    medium = replace(SAMPLE, flags=bitstream.FLAG_MEDIUM, width_px=172, height_px=172)
    assert bitstream.parse(bitstream.build(medium)) == medium


@pytest.mark.parametrize("length", [length for length in range(len(GOLDEN)) if length != 13])
def test_every_truncation_is_told(length: int) -> None:
    with pytest.raises((TruncatedBitstream, ForeignBitstream)):
        bitstream.parse(GOLDEN[:length])


@pytest.mark.parametrize(
    ("blob", "error"),
    [
        (b"", ForeignBitstream),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, ForeignBitstream),  # a JPEG file
        (b"LE\x01" + GOLDEN[3:], ForeignBitstream),  # an earlier version
        (b"LE\x03" + GOLDEN[3:], ForeignBitstream),  # a later version
        (GOLDEN[:7] + b"\x40" + GOLDEN[8:], DamagedBitstream),  # quality 64
        (GOLDEN[:8] + b"\x04" + GOLDEN[9:], ForeignBitstream),  # an unknown flag
        (GOLDEN[:8] + b"\x03" + GOLDEN[9:], ForeignBitstream),  # both flags
        (GOLDEN[:8] + b"\x01" + GOLDEN[9:], ForeignBitstream),  # the medium flag on a high picture
        (GOLDEN[:9] + b"\xd9\x02" + GOLDEN[11:], ForeignBitstream),  # 345 wide
        (GOLDEN[:9] + b"\xff\xff\x7f" + GOLDEN[11:], DamagedBitstream),  # a size of three bytes
        (GOLDEN[:9] + b"\x80\x00" + GOLDEN[11:], DamagedBitstream),  # a size not in its shortest form
        (GOLDEN + b"\0", TruncatedBitstream),  # a part of a word
        (GOLDEN + bytes(bitstream.MAX_WORDS_BYTES), DamagedBitstream),  # more than any picture takes
    ],
)
def test_what_is_not_a_bitstream_gets_its_own_error(blob: bytes, error: type[BitstreamError]) -> None:
    with pytest.raises(error):
        bitstream.parse(blob)


@given(st.binary(max_size=64))
def test_arbitrary_bytes_give_a_bitstream_or_a_typed_error(blob: bytes) -> None:
    try:
        parsed = bitstream.parse(blob)
    except BitstreamError:
        return
    assert bitstream.build(parsed) == blob


@given(st.binary(max_size=40))
def test_whatever_follows_the_header_parses_back_to_itself(tail: bytes) -> None:
    blob = GOLDEN[:13] + tail
    try:
        parsed = bitstream.parse(blob)
    except BitstreamError:
        return
    assert bitstream.build(parsed) == blob


def test_the_checksum_covers_each_header_field_and_the_symbols() -> None:
    variants = [
        SAMPLE,
        replace(SAMPLE, quality=25),
        replace(SAMPLE, flags=1),
        replace(SAMPLE, width_px=345),
        replace(SAMPLE, height_px=345),
        replace(SAMPLE, stream_id=b"\x01\x02\x03\x05"),
    ]
    checksums = {bitstream.checksum(variant, b"symbols") for variant in variants}
    assert len(checksums | {bitstream.checksum(SAMPLE, b"symbolt")}) == len(variants) + 1


def test_the_kind_is_told_from_the_flags_alone() -> None:
    assert bitstream.kind_of(GOLDEN) == "high"
    assert bitstream.kind_of(GOLDEN[:8] + b"\x01" + GOLDEN[9:]) == "medium"
    with pytest.raises(ForeignBitstream):
        bitstream.kind_of(GOLDEN[:8] + b"\x80" + GOLDEN[9:])
    for length in range(9):
        with pytest.raises(BitstreamError):
            bitstream.kind_of(GOLDEN[:length])
