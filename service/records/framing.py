"""The frame of every string that the store holds for a picture. No I/O, no clock.

    magic 3, version 1, CRC-32 4 | digest of the key 8, flags 2 | fields of a record, negative cache entry or vary rule

The layout of the first eight bytes is the same in every version, and the checksum covers all bytes but itself. So a
reader can tell a string of a newer release from a damaged one. A string with an unknown flag counts as one of a newer
release. The digest shows whether a string was copied from another key.

The previous version is read as well. It has neither digest nor flags.
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
"""The length of the key's digest. Assumed: a string gets under a wrong key only by accident, so 64 bits suffice."""
BINDING = struct.Struct(f">{KEY_DIGEST_BYTES}sH")
NO_FLAGS = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """The version and the flags of a string whose frame is valid, and a reader of its fields."""

    version: int
    flags: int
    reader: FieldReader


@dataclass(frozen=True, slots=True)
class Framing:
    """The frame format of one kind of string: records, negative cache entries or vary rules."""

    magic: bytes
    version: int
    """The version number of the strings that this release writes."""
    previous_seals_magic: bool
    """Whether the checksum of the previous version also covers the magic and the version."""
    known_flags: int = NO_FLAGS
    """The bits of all flags that this release understands in strings of this kind."""

    @property
    def previous(self) -> int:
        """The number of the previous version, which this release still reads."""
        return self.version - 1

    def is_of(self, value: bytes) -> bool:
        """Return whether a string of the store begins with the magic of this kind."""
        return value.startswith(self.magic)

    def build(self, body: bytes, key: bytes, *, flags: int = NO_FLAGS) -> bytes:
        """Return the packed fields `body` in a frame, which binds them to `key`."""
        framed = BINDING.pack(key_digest(key), flags) + body
        return PREFIX.pack(self.magic, self.version, self._checksum(self.version, framed)) + framed

    def open(self, value: bytes, key: bytes) -> Opened:
        """Check the frame of a string. Return its version, its flags and a reader that starts at the first field.

        Raises DamagedRecord, ForeignRecord for a version that is no longer read, or RecordOfOthers for a newer one.
        """
        if len(value) < PREFIX.size:
            raise DamagedRecord(
                f"the stored value has {len(value)} bytes, fewer than the {PREFIX.size} of a frame's prefix"
            )
        magic, version, checksum = PREFIX.unpack_from(value)
        if magic != self.magic:
            raise DamagedRecord(f"the string does not start with {self.magic!r}")
        framed = value[PREFIX.size :]
        if checksum != self._checksum(version, framed):
            raise DamagedRecord("the checksum of the string does not match its bytes")
        reader, flags = FieldReader(framed, 0), NO_FLAGS
        if version == self.version:
            flags = self._read_binding(reader, value, key)
        elif version > self.version:
            raise newer(f"the stored value has version {version}, which only a newer release reads", value)
        elif version < self.previous:
            raise ForeignRecord(f"the stored value has version {version}, which this release no longer reads")
        return Opened(version, flags, reader)

    def _read_binding(self, reader: FieldReader, value: bytes, key: bytes) -> int:
        digest, flags = reader.unpack(BINDING)
        if digest != key_digest(key):
            raise DamagedRecord("the string was written for another key")
        if flags & ~self.known_flags:
            raise newer(f"the stored value has flags {flags:#06x}, some of which only a newer release knows", value)
        return int(flags)

    def _checksum(self, version: int, framed: bytes) -> int:
        if version <= self.previous and not self.previous_seals_magic:
            return crc32(framed)
        return crc32(framed, crc32(self.magic + bytes([version])))


def newer(message: str, value: bytes) -> RecordOfOthers:
    """Return the error for a string that only a newer release can have written."""
    return RecordOfOthers(message, reason=Reason.NEWER_RECORD, value=value)


def key_digest(key: bytes) -> bytes:
    """Return the digest of a key, which is part of the frame of the string under this key."""
    return hashlib.blake2b(key, digest_size=KEY_DIGEST_BYTES).digest()
