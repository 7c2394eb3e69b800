"""A known record is the record of exactly the string that is read, and memory has a limit."""

from dataclasses import replace

import pytest

from service.errors import DamagedRecord
from service.records.known_records import OBJECTS_BYTES, KnownRecords
from service.records.record import PREFIX, pack, unpack
from tests.service.test_record import SAMPLE

VALUE = pack(SAMPLE)


def test_the_same_string_gives_the_same_record() -> None:
    known = KnownRecords()
    first = known.read(VALUE)
    assert first == unpack(VALUE)
    assert known.read(bytes(bytearray(VALUE))) is first


@pytest.mark.parametrize("at", [PREFIX.size, PREFIX.size + 8, len(VALUE) - len(SAMPLE.bitstream), len(VALUE) - 1])
def test_a_flipped_bit_under_a_known_checksum_is_damage(at: int) -> None:
    known = KnownRecords()
    known.read(VALUE)
    flipped = VALUE[:at] + bytes([VALUE[at] ^ 1]) + VALUE[at + 1 :]
    with pytest.raises(DamagedRecord):
        known.read(flipped)


def test_a_string_that_lost_its_end_or_middle_is_damage() -> None:
    known = KnownRecords()
    known.read(VALUE)
    for torn in (VALUE[:-1], VALUE[:40] + VALUE[41:], VALUE + b"t", VALUE[: PREFIX.size]):
        with pytest.raises(DamagedRecord):
            known.read(torn)


def test_a_renewed_record_is_another_one() -> None:
    known = KnownRecords()
    known.read(VALUE)
    renewed = replace(SAMPLE, lifetime_s=7200)
    assert known.read(pack(renewed)) == renewed


def test_the_records_that_were_read_last_stay_within_the_limit() -> None:
    pictures = [replace(SAMPLE, quality=quality, bitstream=bytes(1000)) for quality in range(10)]
    values = [pack(one) for one in pictures]
    known = KnownRecords(3 * (OBJECTS_BYTES + len(values[0])))
    first = known.read(values[0])
    for value in values[1:]:
        known.read(value)
        assert known.read(values[0]) is first  # used again and again
    assert len(known) == 3
    assert KnownRecords(0).read(VALUE) == SAMPLE
