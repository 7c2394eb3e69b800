"""A known record is the record of exactly the string that is read, and memory has a limit."""

from dataclasses import replace

import pytest

from service.errors import DamagedRecord
from service.records.framing import PREFIX
from service.records.known_records import LEAST_BYTES, OBJECTS_BYTES, KnownRecords, records_limit
from service.records.record import pack, unpack
from tests.service.test_record import KEY, SAMPLE

VALUE = pack(SAMPLE, KEY)


def test_the_same_string_gives_the_same_record() -> None:
    known = KnownRecords(LEAST_BYTES)
    first = known.read(VALUE, KEY)
    assert first == unpack(VALUE, KEY)
    assert known.read(bytes(bytearray(VALUE)), KEY) is first


@pytest.mark.parametrize("at", [PREFIX.size, PREFIX.size + 8, len(VALUE) - len(SAMPLE.bitstream), len(VALUE) - 1])
def test_a_flipped_bit_under_a_known_checksum_is_damage(at: int) -> None:
    known = KnownRecords(LEAST_BYTES)
    known.read(VALUE, KEY)
    flipped = VALUE[:at] + bytes([VALUE[at] ^ 1]) + VALUE[at + 1 :]
    with pytest.raises(DamagedRecord):
        known.read(flipped, KEY)


def test_a_known_string_under_another_key_is_damage() -> None:
    known = KnownRecords(LEAST_BYTES)
    known.read(VALUE, KEY)
    with pytest.raises(DamagedRecord, match="another key"):
        known.read(VALUE, b"p:{another}")


def test_a_string_that_lost_its_end_or_middle_is_damage() -> None:
    known = KnownRecords(LEAST_BYTES)
    known.read(VALUE, KEY)
    for torn in (VALUE[:-1], VALUE[:40] + VALUE[41:], VALUE + b"t", VALUE[: PREFIX.size]):
        with pytest.raises(DamagedRecord):
            known.read(torn, KEY)


def test_a_renewed_record_is_another_one() -> None:
    known = KnownRecords(LEAST_BYTES)
    known.read(VALUE, KEY)
    renewed = replace(SAMPLE, lifetime_s=7200)
    assert known.read(pack(renewed, KEY), KEY) == renewed


def test_the_records_that_were_read_last_stay_within_the_limit() -> None:
    pictures = [replace(SAMPLE, quality=quality, bitstream=bytes(1000)) for quality in range(10)]
    values = [pack(one, KEY) for one in pictures]
    known = KnownRecords(3 * (OBJECTS_BYTES + len(values[0])))
    first = known.read(values[0], KEY)
    for value in values[1:]:
        known.read(value, KEY)
        assert known.read(values[0], KEY) is first  # used again and again
    assert len(known) == 3
    assert KnownRecords(0).read(VALUE, KEY) == SAMPLE


@pytest.mark.parametrize(("hot_mib", "records_mib"), [(64, 16), (16, 4), (2, 2), (0, 2)])
def test_the_files_in_memory_bound_the_records_too(hot_mib: int, records_mib: int) -> None:
    assert records_limit(hot_mib * 2**20) == records_mib * 2**20
