"""The frame of every string that the store holds for a picture. No I/O, no clock.

    magic 3, version 1, CRC-32 4 | digest of the key 8, flags 2 | fields of a record, negative cache entry or vary rule

The layout of the first eight bytes is the same in every version, and the checksum covers all other bytes and the magic
and version too. So a reader can tell a string of a newer release from a damaged one. A flag that a reader does not know
makes the string one of a newer release. A string that was copied under another key does not have that key's digest.

The version before the present one is read as well. It had neither digest nor flags.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from zlib import crc32

from service.errors import DamagedRecord, ForeignRecord, RecordOfOthers
from service.reason import Reason
from service.records.field_reader import FieldReader

PREFIX = struct.Struct(">3sBI")
KEY_DIGEST_BYTES = 8
"""Assumed: a copy under another key is an accident, and 64 bits tell any two keys apart."""
BINDING = struct.Struct(f">{KEY_DIGEST_BYTES}sH")
NO_FLAGS = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """What the frame of a string says, and a reader of its fields."""

    version: int
    flags: int
    reader: FieldReader


@dataclass(frozen=True, slots=True)
class Framing:
    """The frame of one kind of string."""

    magic: bytes
    version: int
    """The version that is written."""
    previous_seals_magic: bool
    """Whether the checksum of the previous version covers its magic and version too."""
    known_flags: int = NO_FLAGS
    """The flags that a reader of this kind understands."""

    @property
    def previous(self) -> int:
        """The previous version, which is still read."""
        return self.version - 1

    def is_of(self, value: bytes) -> bool:
        """Return whether a string of the store is of this kind."""
        return value.startswith(self.magic)

    def build(self, body: bytes, key: bytes, *, flags: int = NO_FLAGS) -> bytes:
        """Frame packed fields for this key."""
        framed = BINDING.pack(key_digest(key), flags) + body
        return PREFIX.pack(self.magic, self.version, self._checksum(self.version, framed)) + framed

    def open(self, value: bytes, key: bytes) -> Opened:
        """Return the version, the flags and a reader that stands at the first field.

        Raises DamagedRecord, ForeignRecord for a version that is no longer read, or RecordOfOthers for a newer one.
        """
        if len(value) < PREFIX.size:
            raise DamagedRecord("shorter than a header")
        magic, version, checksum = PREFIX.unpack_from(value)
        if magic != self.magic:
            raise DamagedRecord(f"does not start with {self.magic!r}")
        framed = value[PREFIX.size :]
        if checksum != self._checksum(version, framed):
            raise DamagedRecord("the checksum does not match")
        reader, flags = FieldReader(framed, 0), NO_FLAGS
        if version == self.version:
            flags = self._read_binding(reader, value, key)
        elif version > self.version:
            raise newer(f"version {version}", value)
        elif version < self.previous:
            raise ForeignRecord(f"version {version}")
        return Opened(version, flags, reader)

    def _read_binding(self, reader: FieldReader, value: bytes, key: bytes) -> int:
        digest, flags = reader.unpack(BINDING)
        if digest != key_digest(key):
            raise DamagedRecord("made for another key")
        if flags & ~self.known_flags:
            raise newer(f"flags {flags:#06x}", value)
        return int(flags)

    def _checksum(self, version: int, framed: bytes) -> int:
        if version <= self.previous and not self.previous_seals_magic:
            return crc32(framed)
        return crc32(framed, crc32(self.magic + bytes([version])))


def newer(message: str, value: bytes) -> RecordOfOthers:
    """Return the error for a string that only a newer release can have written."""
    return RecordOfOthers(message, reason=Reason.NEWER_RECORD, value=value)


def key_digest(key: bytes) -> bytes:
    """Return the digest of a key that is part of each frame."""
    return hashlib.blake2b(key, digest_size=KEY_DIGEST_BYTES).digest()
