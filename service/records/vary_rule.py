"""What the store holds under the key of a picture that varies: by which fields. Packed, one CRC-32 over all. No I/O.

    magic 3, version 1, CRC-32 4 | nonce, stale_before, length of the names (FIXED) | names with commas

The variants themselves are records under keys that are made of this nonce, so that all of them are gone together with
their rule: nobody can name them any more, and they leave the store when their time is over.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from service.errors import DamagedRecord, ForeignRecord

MAGIC = b"LEv"
VERSION = 1
PREFIX = struct.Struct(">3sBI")
NONCE_BYTES = 16
FIXED = struct.Struct(f">{NONCE_BYTES}sQH")


@dataclass(frozen=True, slots=True)
class VaryRule:
    """How a picture varies."""

    names: tuple[str, ...]
    """In lower case, sorted."""
    nonce: bytes
    stale_before: int = 0
    """Variants of an earlier generation (see `purge_table`) are stale: the picture was purged softly."""


def is_rule(value: bytes) -> bool:
    """Whether a string of the store is one, and not a record."""
    return value.startswith(MAGIC)


def pack_rule(rule: VaryRule) -> bytes:
    """As one string for the store, the same for the same rule."""
    names = ",".join(rule.names).encode("ascii")
    body = FIXED.pack(rule.nonce, rule.stale_before, len(names)) + names
    return PREFIX.pack(MAGIC, VERSION, crc32(body)) + body


def unpack_rule(value: bytes) -> VaryRule:
    """The rule in a string of the store. Raises DamagedRecord or ForeignRecord."""
    if len(value) < PREFIX.size + FIXED.size:
        raise DamagedRecord("shorter than the header of a rule")
    magic, version, checksum = PREFIX.unpack_from(value)
    body = value[PREFIX.size :]
    if magic != MAGIC or checksum != crc32(body):
        raise DamagedRecord("the checksum of a rule does not match")
    if version != VERSION:
        raise ForeignRecord(f"rule version {version}")
    nonce, stale_before, names_bytes = FIXED.unpack_from(body)
    names = body[FIXED.size :]
    if not 0 < names_bytes == len(names) or not names.isascii():
        raise DamagedRecord("impossible names in a rule")
    return VaryRule(tuple(names.decode("ascii").split(",")), nonce, stale_before)
