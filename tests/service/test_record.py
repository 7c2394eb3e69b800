"""The record's bytes are fixed, and no damage to them goes unseen."""

import random
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import DamagedRecord, ForeignRecord, RecordError, RecordOfOthers
from service.reason import Reason
from service.records.framing import BINDING, PREFIX, key_digest
from service.records.record import FIXED, PAYLOAD, SQUARE_LATENT, Record, pack, unpack
from service.records.record import PASSED_ON_CAPS_BYTES as CAPS
from service.records.store_keys import record_key
from service.rules.cache_tags import TAG_CAP_BYTES, TAGS_CAP
from service.rules.response_fields import NOTHING, PassedOn
from tests.service.releases import record_of_the_last_release, reframed

KEY = record_key("cat", origin="http://o")

SAMPLE = Record(
    bitstream=b"the latent",
    born_ms=1_700_000_000_123,
    filled_ms=1_700_000_005_456,
    lifetime_s=3600,
    stale_while_revalidate_s=60,
    stale_if_error_s=86400,
    source_digest=bytes(range(16)),
    source_bytes=131_072,
    conventional_high_bytes=29_494,
    conventional_medium_bytes=8_690,
    stream_id=b"\xde\xad\xbe\xef",
    quality=21,
    refinement=400,
    generation=1_795_000_000_123,
    status=203,
    origin_etag='"v1"',
    passed=PassedOn(
        cache_control="max-age=3600",
        cdn_cache_control="max-age=60",
        expires="0",
        date="Tue, 14 Nov 2023 22:13:20 GMT",
        last_modified="Sun, 13 Sep 2020 12:26:40 GMT",
        vary="Accept",
    ),
    tags=("cats", "photo:7"),
    image_id="cats/größe.jpg",
)
GOLDEN = bytes.fromhex(
    "4c4572067194853b3eab8aea2b161277000000001600160000018bcfe5687b0000018bcfe57d5000000e100000003c000151"
    "80000102030405060708090a0b0c0d0e0f0002000000007336000021f2deadbeef150190000001a1ee565e7b00cb02000400"
    "0c000a0001001d001d00060010227631226d61782d6167653d333630306d61782d6167653d3630305475652c203134204e6f"
    "7620323032332032323a31333a323020474d5453756e2c2031332053657020323032302031323a32363a343020474d544163"
    "6365707404636174730770686f746f3a37636174732f6772c3b6c39f652e6a7067746865206c6174656e74"
)
GOLDEN_OF_VERSION_5 = bytes.fromhex(
    "4c45720565abf05e0000018bcfe5687b0000018bcfe57d5000000e100000003c00015180000102030405060708090a0b0c0d"
    "0e0f0002000000007336000021f2deadbeef150190000001a1ee565e7b00cb020004000c000a0001001d001d000600102276"
    "31226d61782d6167653d333630306d61782d6167653d3630305475652c203134204e6f7620323032332032323a31333a3230"
    "20474d5453756e2c2031332053657020323032302031323a32363a343020474d5441636365707404636174730770686f746f"
    "3a37636174732f6772c3b6c39f652e6a7067746865206c6174656e74"
)


def test_the_bytes_are_those_of_version_6() -> None:
    """A change of these bytes is a new version, or every store in the field is misread."""
    assert pack(SAMPLE, KEY) == GOLDEN
    assert unpack(GOLDEN, KEY) == SAMPLE


def test_a_record_of_version_5_is_read() -> None:
    """An upgrade does not empty a cache."""
    assert unpack(GOLDEN_OF_VERSION_5, KEY) == SAMPLE
    assert record_of_the_last_release(GOLDEN) == GOLDEN_OF_VERSION_5


def test_a_record_under_another_key_is_damage() -> None:
    with pytest.raises(DamagedRecord, match="another key"):
        unpack(GOLDEN, record_key("dog", origin="http://o"))


PAYLOAD_AT = PREFIX.size + BINDING.size


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (PAYLOAD_AT - 2, "flags 0x0100"),
        (PAYLOAD_AT - 1, "flags 0x0002"),
        (PAYLOAD_AT, "kind 1"),
        (PAYLOAD_AT + 2, "23 by 22 cells"),
        (PAYLOAD_AT + 4, "22 by 23 cells"),
    ],
)
def test_a_flag_a_kind_or_a_shape_that_is_not_known_makes_a_record_one_of_a_newer_release(at: int, told: str) -> None:
    value = bytearray(GOLDEN)
    value[at] ^= 2 if at == PAYLOAD_AT - 1 else 1
    with pytest.raises(RecordOfOthers, match=told) as newer:
        unpack(reframed(bytes(value), version=6), KEY)
    assert newer.value.reason is Reason.NEWER_RECORD


uint32 = st.integers(0, 2**32 - 1)
millis = st.integers(0, 2**63 - 1)
ascii_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=TAG_CAP_BYTES)


names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=TAG_CAP_BYTES)


def shortened(text: str, *, cap_bytes: int) -> str:
    return text[:cap_bytes]


@given(
    st.builds(
        Record,
        bitstream=st.binary(min_size=1, max_size=300),
        born_ms=st.integers(-(2**63), 2**63 - 1),
        filled_ms=millis,
        lifetime_s=uint32,
        stale_while_revalidate_s=uint32,
        stale_if_error_s=uint32,
        source_digest=st.binary(min_size=16, max_size=16),
        source_bytes=uint32,
        conventional_high_bytes=uint32,
        conventional_medium_bytes=uint32,
        stream_id=st.binary(min_size=4, max_size=4),
        quality=st.integers(0, 63),
        refinement=st.integers(0, 65535),
        generation=st.integers(0, 2**64 - 1),
        status=st.integers(200, 299),
        origin_etag=ascii_text,
        passed=st.builds(
            PassedOn,
            **{name: ascii_text.map(partial(shortened, cap_bytes=cap)) for name, cap in CAPS.items()},
        ),
        tags=st.lists(names, max_size=TAGS_CAP).map(tuple),
        image_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=512),
    )
)
def test_every_record_comes_back_as_it_was(record: Record) -> None:
    assert unpack(pack(record, KEY), KEY) == record


@given(st.binary(max_size=400))
def test_noise_is_a_typed_error(noise: bytes) -> None:
    with pytest.raises(RecordError):
        unpack(noise, KEY)


VERSIONS = pytest.mark.parametrize("golden", [GOLDEN, GOLDEN_OF_VERSION_5], ids=["6", "5"])


@VERSIONS
def test_every_truncation_is_seen(golden: bytes) -> None:
    for length in range(len(golden)):
        with pytest.raises(DamagedRecord):
            unpack(golden[:length], KEY)


@VERSIONS
def test_every_flipped_bit_is_seen(golden: bytes) -> None:
    for position in range(len(golden) * 8):
        damaged = bytearray(golden)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(DamagedRecord):
            unpack(bytes(damaged), KEY)


def test_an_older_version_is_foreign_and_a_newer_one_is_left_to_others() -> None:
    with pytest.raises(ForeignRecord, match="version 4") as older:
        unpack(reframed(GOLDEN, version=4), KEY)
    assert not isinstance(older.value, RecordOfOthers)
    with pytest.raises(RecordOfOthers, match="version 7") as newer:
        unpack(reframed(GOLDEN, version=7), KEY)
    assert newer.value.value == reframed(GOLDEN, version=7)


@given(st.binary(max_size=100), st.integers(0, 255))
def test_fields_are_not_believed_even_under_a_right_checksum(noise: bytes, version: int) -> None:
    framed = BINDING.pack(key_digest(KEY), 0) + PAYLOAD.pack(*SQUARE_LATENT) + noise
    value = reframed(PREFIX.pack(b"LEr", version, 0) + framed, version=version)
    with pytest.raises(RecordError):
        unpack(value, KEY)


def test_lengths_are_not_believed_even_under_a_right_checksum() -> None:
    seeded = random.Random(2)
    ends = PAYLOAD_AT + PAYLOAD.size + FIXED.size
    for _ in range(3000):
        wrong = bytearray(GOLDEN)
        for position in range(ends - 17, ends):
            wrong[position] = seeded.choice((0, 1, 4, 12, 200, 255))
        try:
            unpack(reframed(bytes(wrong), version=6), KEY)
        except DamagedRecord:
            continue


def test_an_id_that_is_no_text_is_damage_even_under_a_right_checksum() -> None:
    wrong = GOLDEN.replace("größe".encode(), b"gr\xff\xffe\xff\xff")
    with pytest.raises(DamagedRecord, match="UTF-8"):
        unpack(reframed(wrong, version=6), KEY)


@pytest.mark.parametrize("tag", [b"\0ats", b" ats", b"cat\n", b"\x7fats"])
def test_a_tag_that_no_picture_has_is_damage_even_under_a_right_checksum(tag: bytes) -> None:
    with pytest.raises(DamagedRecord, match="tag"):
        unpack(reframed(GOLDEN.replace(b"cats", tag, 1), version=6), KEY)


@pytest.mark.parametrize("status", [0, 199, 300, 404, 999])
def test_a_status_that_no_picture_has_is_damage_even_under_a_right_checksum(status: int) -> None:
    with pytest.raises(DamagedRecord, match="status"):
        unpack(pack(replace(SAMPLE, status=status), KEY), KEY)


def test_keys_are_short_and_tell_ids_and_origins_apart() -> None:
    keys = {record_key(image_id, origin=origin) for image_id in ("a", "b") for origin in ("http://o", "http://p")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {26}


def test_a_record_costs_little_beside_its_latent() -> None:
    bare = replace(SAMPLE, origin_etag="", passed=NOTHING, tags=(), image_id="")
    assert len(pack(bare, KEY)) - len(bare.bitstream) <= 115
