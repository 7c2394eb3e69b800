"""The wire format of one latent. Standard library only: it checks lengths and checksums, without tables or tensors.

    offset  bytes  field
    0       2      magic "LE"
    2       1      version (2)
    3       4      stream id: digest of everything between bytes and y_hat (tables, scale path, means, gains)
    7       1      quality, 0..63
    8       1      flags: bit 0 = medium autoencoder; the others are 0
    9       2..4   width and height in pixels, each an unsigned LEB128 varint
    .       4 n    words of the entropy coder, 32 bits each, little-endian; they end where the bitstream ends

The header of a 344x344 picture takes 13 bytes. z is decoded before y by the same entropy coder, so its length needs no
field.
The coder's first state starts at the CRC-32 of all header bytes and then the symbols (z, then q, 16 bits each,
little-endian), and decoding must end at the same state. A decoder that reads other symbols or another header than the
encoder wrote, for any reason, raises an error instead of returning a wrong picture.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from models.config import HIGH_PX, MEDIUM_PX, QUALITIES

MAGIC = b"LE"
VERSION = 2
FLAG_MEDIUM = 1
STREAM_ID_BYTES = 4
MAX_WORDS_BYTES = 1 << 20
"""Largest length of the words (derived: 40 bits for each of the 22*22*384 symbols of the worst picture)."""

_WORD_BYTES = 4
_FIXED_BYTES = 9
_VARINT_BYTES = 2


class BitstreamError(Exception):
    """Root of all errors in a bitstream.

    BitstreamError
    +-- TruncatedBitstream   ends too early
    +-- ForeignBitstream     another format, version, model or picture size
    +-- DamagedBitstream     fields, words or checksum contradict each other
    """


class TruncatedBitstream(BitstreamError):  # noqa: N818  the name says that it is an error, and callers catch the root
    """The bitstream ends before its last field."""


class ForeignBitstream(BitstreamError):  # noqa: N818
    """Another format, version, stream id or picture size than this reader's."""


class DamagedBitstream(BitstreamError):  # noqa: N818
    """Fields out of range, words that do not decode, or a checksum that does not match."""


@dataclass(frozen=True)
class Bitstream:
    """The fields of one bitstream, checked as far as possible without a model."""

    stream_id: bytes
    quality: int
    flags: int
    width_px: int
    height_px: int
    words: bytes
    version: int = VERSION

    @property
    def header_bytes(self) -> int:
        """Return the number of bytes before the words."""
        return len(_head(self))


def _varint(value: int) -> bytes:
    """Return the unsigned LEB128 of a value, at most two bytes."""
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80, value >> 7])  # noqa: PLR2004


def _read_varint(blob: bytes, offset: int) -> tuple[int, int]:
    """Return a value and the offset after it. Only the shortest form is accepted: one value has one encoding."""
    value = 0
    for position in range(_VARINT_BYTES):
        if offset + position >= len(blob):
            raise TruncatedBitstream("ends inside a size")
        byte = blob[offset + position]
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:  # noqa: PLR2004
            if position and not byte:
                raise DamagedBitstream("a size is not in its shortest form")
            return value, offset + position + 1
    raise DamagedBitstream("a size is longer than two bytes")


def _head(bitstream: Bitstream) -> bytes:
    sizes = _varint(bitstream.width_px) + _varint(bitstream.height_px)
    return (
        MAGIC + bytes([bitstream.version]) + bitstream.stream_id + bytes([bitstream.quality, bitstream.flags]) + sizes
    )


def checksum(bitstream: Bitstream, *symbols: bytes | memoryview) -> int:
    """Return the CRC-32 of header and symbols: the state at which the entropy coder starts and decoding ends."""
    found = zlib.crc32(_head(bitstream))
    for part in symbols:
        found = zlib.crc32(part, found)
    return found


def build(bitstream: Bitstream) -> bytes:
    """Return the bytes of a bitstream."""
    return _head(bitstream) + bitstream.words


def stream_id_of(blob: bytes) -> bytes:
    """Return the stream id, even where the rest of the bitstream is damaged: `parse` checks the rest."""
    return blob[3:7]


def parse(blob: bytes) -> Bitstream:
    """Read and check every field, but do not decode the words. Raises a `BitstreamError`."""
    _check_start(blob)
    quality, flags = blob[7], blob[8]
    width_px, offset = _read_varint(blob, _FIXED_BYTES)
    height_px, offset = _read_varint(blob, offset)
    words = blob[offset:]
    _check_fields(quality, flags, side_px=(width_px, height_px), words=words)
    return Bitstream(
        stream_id=blob[3:7], quality=quality, flags=flags, width_px=width_px, height_px=height_px, words=words
    )


def _check_start(blob: bytes) -> None:
    if not blob.startswith(MAGIC[: len(blob)]) or not blob:
        raise ForeignBitstream("does not start like a latentedge bitstream")
    if len(blob) < _FIXED_BYTES:
        raise TruncatedBitstream("ends inside the header")
    if blob[2] != VERSION:
        raise ForeignBitstream(f"version {blob[2]}, this reader knows {VERSION}")


def _check_fields(quality: int, flags: int, *, side_px: tuple[int, int], words: bytes) -> None:
    if quality >= QUALITIES:
        raise DamagedBitstream(f"quality {quality} is beyond {QUALITIES - 1}")
    if flags & ~FLAG_MEDIUM:
        raise ForeignBitstream(f"flags {flags:#04x} are unknown here")
    expected_px = MEDIUM_PX if flags & FLAG_MEDIUM else HIGH_PX
    if side_px != (expected_px, expected_px):
        raise ForeignBitstream(f"a {side_px[0]}x{side_px[1]} picture, expected {expected_px}x{expected_px}")
    if len(words) % _WORD_BYTES:
        raise TruncatedBitstream("ends inside a word")
    if len(words) > MAX_WORDS_BYTES:
        raise DamagedBitstream(f"the entropy-coded part of {len(words)} bytes is larger than that of any picture")
