"""Find the first frame of an animated WebP, and drop what is cut behind the pixels (RFC 9649). No I/O, no decoder."""

from __future__ import annotations

from struct import Struct

from service.render.png_file import Box

CHUNKS_CAP = 64
"""The maximum number of chunks before the first frame that are read. An animation has two, or three with a colour
profile."""

_CHUNK = Struct("<4sI")
_SIZE = Struct("<I")
_HEAD = 12
"""The bytes before the first chunk: RIFF, a length and WEBP."""
_ANIMATION = 0x02
"""The flag of VP8X for an animation."""


def find_first_frame(file: bytes) -> Box | None:
    """Return the part of the canvas that the first frame covers, or None if the file is no animation."""
    if file[12:16] != b"VP8X" or len(file) < 30 or not file[20] & _ANIMATION:  # noqa: PLR2004  (the end of VP8X)
        return None
    start = 12
    for _ in range(CHUNKS_CAP):
        if start + _CHUNK.size + 16 > len(file):
            return None
        kind, length = _CHUNK.unpack_from(file, start)
        if kind == b"ANMF":
            left, top, width, height = (_read_24(file, start + _CHUNK.size + at) for at in (0, 3, 6, 9))
            return 2 * left, 2 * top, 2 * left + width + 1, 2 * top + height + 1
        start += _CHUNK.size + length + length % 2
    return None


def _read_24(file: bytes, start: int) -> int:
    return int.from_bytes(file[start : start + 3], "little")


def drop_cut_chunks(file: bytes) -> bytes:
    """Return a WebP that ends too early without the incomplete chunk at its end, such as EXIF or XMP."""
    if len(file) < _HEAD or _SIZE.unpack_from(file, 4)[0] + 8 <= len(file):
        return file
    start = end = _HEAD
    for _ in range(CHUNKS_CAP):
        if start + _CHUNK.size > len(file):
            break
        _, length = _CHUNK.unpack_from(file, start)
        start += _CHUNK.size + length
        if start > len(file):
            break
        start = end = start + length % 2
    whole = file[:end].ljust(end, b"\0")  # the last byte may be the padding of an odd length
    return b"RIFF" + _SIZE.pack(end - 8) + whole[8:]
