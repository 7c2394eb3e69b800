"""Strings as other releases write them: the one before this, and one that is newer."""

import zlib

from service.records.framing import BINDING, PREFIX, Framing
from service.records.record import PAYLOAD


def reframed(value: bytes, *, version: int) -> bytes:
    """The same fields under another version number, with a right checksum."""
    magic, body = value[:3], value[PREFIX.size :]
    return PREFIX.pack(magic, version, zlib.crc32(body, zlib.crc32(magic + bytes([version])))) + body


def newer(value: bytes) -> bytes:
    """As a release would write it whose layout nobody here knows."""
    return reframed(value, version=value[3] + 1)


def record_of_the_last_release(value: bytes) -> bytes:
    """A packed record as version 5: no key's digest, no flags, no payload."""
    body = value[PREFIX.size + BINDING.size + PAYLOAD.size :]
    return PREFIX.pack(b"LEr", 5, zlib.crc32(body, zlib.crc32(b"LEr\x05"))) + body


def unbound(value: bytes, framing: Framing) -> bytes:
    """A packed refusal or rule as the version before: no key's digest, and the checksum is of its fields alone."""
    body = value[PREFIX.size + BINDING.size :]
    return PREFIX.pack(framing.magic, framing.previous, zlib.crc32(body)) + body
