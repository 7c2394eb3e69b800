"""An error of the origin that is remembered in place of a picture: packed, one CRC-32 over all. No I/O, no clock.

magic 3, version 1, CRC-32 4 | born_ms, lifetime_s, status, generation, lengths (FIXED) | what is passed on
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from service.errors import DamagedRecord, ForeignRecord
from service.records.record import PASSED_ON_CAPS_BYTES, all_fit
from service.rules.response_fields import PASSED_ON, PassedOn

MAGIC = b"LEn"
VERSION = 2
PREFIX = struct.Struct(">3sBI")
FIXED = struct.Struct(">qIHQ6H")


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativeEntry:
    """What the origin answered instead of a picture, and how long that counts."""

    status: int
    born_ms: int
    lifetime_s: int
    generation: int
    """The latest purge of any kind before the origin was asked. Each one by tag, or of all, ends it."""
    passed: PassedOn


def is_negative_entry(value: bytes) -> bool:
    """Whether a string of the store is one, and not a record."""
    return value.startswith(MAGIC)


def pack_negative_entry(entry: NegativeEntry) -> bytes:
    """As one string for the store."""
    assert all_fit(entry.passed), "what does not fit is not remembered"
    texts = [getattr(entry.passed, name) for name in PASSED_ON]
    fixed = FIXED.pack(entry.born_ms, entry.lifetime_s, entry.status, entry.generation, *map(len, texts))
    body = fixed + "".join(texts).encode("ascii")
    return PREFIX.pack(MAGIC, VERSION, crc32(body)) + body


def unpack_negative_entry(value: bytes) -> NegativeEntry:
    """The entry in a string of the store. Raises DamagedRecord or ForeignRecord."""
    if len(value) < PREFIX.size + FIXED.size:
        raise DamagedRecord("shorter than the header of a negative entry")
    magic, version, checksum = PREFIX.unpack_from(value)
    body = value[PREFIX.size :]
    if magic != MAGIC or checksum != crc32(body):
        raise DamagedRecord("the checksum of a negative entry does not match")
    if version != VERSION:
        raise ForeignRecord(f"negative entry version {version}")
    born_ms, lifetime_s, status, generation, *lengths = FIXED.unpack_from(body)
    return NegativeEntry(
        status=status,
        born_ms=born_ms,
        lifetime_s=lifetime_s,
        generation=generation,
        passed=_passed(body[FIXED.size :], tuple(lengths)),
    )


def _passed(body: bytes, lengths: tuple[int, ...]) -> PassedOn:
    caps = (PASSED_ON_CAPS_BYTES[name] for name in PASSED_ON)
    if sum(lengths) != len(body) or any(length > cap for length, cap in zip(lengths, caps, strict=True)):
        raise DamagedRecord("impossible lengths in a negative entry")
    if not body.isascii():
        raise DamagedRecord("a text that is not ASCII")
    text, said = body.decode("ascii"), {}
    for name, length in zip(PASSED_ON, lengths, strict=True):
        said[name], text = text[:length], text[length:]
    return PassedOn(**said)
