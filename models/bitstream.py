"""The wire format of one latent. Standard library only: it parses and checks fields, but does not decode the words.

    offset  bytes  field
    0       2      magic "LE"
    2       1      version (2)
    3       4      stream id: digest of everything between bytes and y_hat (tables, scale path, means, gains)
    7       1      quality, 0..63
    8       1      flags: bit 0 = medium autoencoder, bit 1 = screen mode; the others are 0
    9       2..4   width and height in pixels, each an unsigned LEB128 varint
    .       4 n    words of the entropy coder, 32 bits each, little-endian; they end where the bitstream ends

The header of a 344x344 picture takes 13 bytes. The words hold z and then y, from one entropy coder, so neither needs a
length field. The coder's first state starts at 2^32 plus the CRC-32 over the header bytes and the symbols (z, then q,
as 16-bit little-endian integers), and decoding must end at the same state. A decoder that gets other symbols or another
header than the encoder wrote, for any reason, therefore raises an error instead of returning a wrong picture.

A bitstream of the screen mode has no words: models/screen/stream.py describes what follows its header.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

from models.config import HIGH_PX, MEDIUM_PX, QUALITIES

MAGIC = b"LE"
VERSION = 2
FLAG_MEDIUM = 1
FLAG_SCREEN = 2
STREAM_ID_BYTES = 4
MAX_WORDS_BYTES = 1 << 20
"""Upper limit of the words in bytes (derived: room for 40 bits for each of the 22 * 22 * 384 symbols of a latent)."""

_WORD_BYTES = 4
_FIXED_BYTES = 9
_VARINT_BYTES = 2


class BitstreamError(Exception):
    """Base class of all errors in a bitstream.

    BitstreamError
    +-- TruncatedBitstream   it ends too early
    +-- ForeignBitstream     it has another format, version, model or picture size than this reader
    +-- DamagedBitstream     a field is out of range, or words and checksum do not match
    """


class TruncatedBitstream(BitstreamError):  # noqa: N818  the name says that it is an error, and callers catch the root
    """The bitstream ends before its last field."""


class ForeignBitstream(BitstreamError):  # noqa: N818
    """The bitstream has another format, version, stream id or picture size than this reader's."""


class DamagedBitstream(BitstreamError):  # noqa: N818
    """A field of the bitstream is out of range, its words do not decode, or its checksum does not match."""


@dataclass(frozen=True)
class Bitstream:
    """The fields of one bitstream: its header, and the entropy coder's words as bytes."""

    stream_id: bytes
    quality: int
    flags: int
    width_px: int
    height_px: int
    words: bytes
    version: int = VERSION

    @property
    def header_bytes(self) -> int:
        """Return the length of the header in bytes."""
        return len(_head(self))


def _varint(value: int) -> bytes:
    """Encode a value below 2^14 as an unsigned LEB128 varint of one or two bytes."""
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80, value >> 7])  # noqa: PLR2004


def _read_varint(blob: bytes, offset: int) -> tuple[int, int]:
    """Decode the varint at `offset`; return its value and the offset after it.

    Raises `TruncatedBitstream` where the blob ends in it, and `DamagedBitstream` where it is not in its shortest form
    or longer than two bytes.
    """
    value = 0
    for position in range(_VARINT_BYTES):
        if offset + position >= len(blob):
            raise TruncatedBitstream("the bitstream ends inside its width or height")
        byte = blob[offset + position]
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:  # noqa: PLR2004
            if position and not byte:
                raise DamagedBitstream("the width or height is not in the shortest form of a varint")
            return value, offset + position + 1
    raise DamagedBitstream("the width or height is longer than two bytes")


def _head(bitstream: Bitstream) -> bytes:
    sizes = _varint(bitstream.width_px) + _varint(bitstream.height_px)
    return (
        MAGIC + bytes([bitstream.version]) + bitstream.stream_id + bytes([bitstream.quality, bitstream.flags]) + sizes
    )


def checksum(bitstream: Bitstream, *symbols: bytes | memoryview) -> int:
    """Return the CRC-32 over the header and then the bytes of the symbols, for the entropy coder's first state."""
    found = zlib.crc32(_head(bitstream))
    for part in symbols:
        found = zlib.crc32(part, found)
    return found


def build(bitstream: Bitstream) -> bytes:
    """Return the header and the words as the bytes of one bitstream."""
    return _head(bitstream) + bitstream.words


def stream_id_of(blob: bytes) -> bytes:
    """Return the four bytes of the stream id without checking any other field, which is `parse`'s work."""
    return blob[3:7]


def kind_of(blob: bytes) -> Literal["high", "medium", "screen"]:
    """Return which autoencoder wrote the bitstream, or the screen mode, from its flags. No other field is checked.

    Raises `TruncatedBitstream` or `ForeignBitstream` where the bytes do not begin as a bitstream of this version, or
    have flags that this reader does not know.
    """
    _check_start(blob)
    _check_flags(blob[8])
    if blob[8] & FLAG_SCREEN:
        return "screen"
    return "medium" if blob[8] & FLAG_MEDIUM else "high"


def is_screen(blob: bytes) -> bool:
    """Return whether the flags say that the bitstream is of the screen mode; False if it is no bitstream at all."""
    try:
        return kind_of(blob) == "screen"
    except BitstreamError:
        return False


def parse(blob: bytes) -> Bitstream:
    """Read and check every field of a bitstream, without decoding its words. Raises a `BitstreamError`."""
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
        raise ForeignBitstream(f"the bytes do not start with the {MAGIC!r} of a latentedge bitstream")
    if len(blob) < _FIXED_BYTES:
        raise TruncatedBitstream(f"the bitstream ends inside its header, after {len(blob)} bytes")
    if blob[2] != VERSION:
        raise ForeignBitstream(f"the bitstream has version {blob[2]}, this reader knows version {VERSION} only")


def _check_flags(flags: int) -> None:
    if flags not in {0, FLAG_MEDIUM, FLAG_SCREEN}:
        raise ForeignBitstream(f"the flags {flags:#04x} have bits set that this reader does not know")


def _check_fields(quality: int, flags: int, *, side_px: tuple[int, int], words: bytes) -> None:
    if quality >= QUALITIES:
        raise DamagedBitstream(f"the quality must be in 0..{QUALITIES - 1}, not {quality}")
    _check_flags(flags)
    expected_px = MEDIUM_PX if flags & FLAG_MEDIUM else HIGH_PX
    if side_px != (expected_px, expected_px):
        raise ForeignBitstream(f"the picture is {side_px[0]}x{side_px[1]}, expected {expected_px}x{expected_px}")
    if len(words) % _WORD_BYTES and not flags & FLAG_SCREEN:
        raise TruncatedBitstream(f"the bitstream ends inside a word: {len(words)} bytes are not a multiple of 4")
    if len(words) > MAX_WORDS_BYTES:
        raise DamagedBitstream(f"the entropy-coded part has {len(words)} bytes, the limit is {MAX_WORDS_BYTES}")
