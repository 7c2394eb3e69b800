"""Read the ICC profile of a BMP file, which Pillow ignores, and complete its last row. No I/O, no decoder.

The layouts of the headers are in Microsoft's documentation of wingdi.h.
"""

from __future__ import annotations

from struct import Struct

SIGNATURE = b"BM"
MISSING_CAP_BYTES = 3
"""The maximum number of bytes that may be missing at the end: they pad the last row, or are one pixel."""

_FILE_HEAD = 14
"""The bytes before the header of the picture."""
_V5_BYTES = 124
_SIZE = Struct("<I")
_PROFILE = Struct("<II")
"""bV5ProfileData and bV5ProfileSize: the offset of the profile from the header, and its length."""
_START = Struct("<10xI")
"""The offset of the pixels."""
_HEADER = Struct("<iiHHI")
"""Width, height, planes, bits for each pixel and compression of BITMAPINFOHEADER and later headers."""
_INFO_BYTES = 40
_UNCOMPRESSED = {0, 3, 6}
_EMBEDDED = b"DEBM"
"""bV5CSType of a file with a profile: the letters MBED as a little-endian number."""


def find_profile(file: bytes) -> bytes | None:
    """Return the ICC profile that a BMP contains, or None."""
    if len(file) < _FILE_HEAD + _V5_BYTES or _SIZE.unpack_from(file, _FILE_HEAD)[0] < _V5_BYTES:
        return None
    if file[_FILE_HEAD + 56 : _FILE_HEAD + 60] != _EMBEDDED:
        return None
    start, length = _PROFILE.unpack_from(file, _FILE_HEAD + 112)
    return file[_FILE_HEAD + start : _FILE_HEAD + start + length] or None


def complete_last_row(file: bytes) -> bytes:
    """Return an uncompressed BMP with the bytes that are missing at its end, if they are few. Browsers show it so."""
    if len(file) < _FILE_HEAD + _INFO_BYTES or _SIZE.unpack_from(file, _FILE_HEAD)[0] < _INFO_BYTES:
        return file
    width, height, _, bits, compression = _HEADER.unpack_from(file, _FILE_HEAD + 4)
    row_bytes = (abs(width) * bits + 31) // 32 * 4
    missing_bytes = _START.unpack_from(file)[0] + row_bytes * abs(height) - len(file)
    is_short = compression in _UNCOMPRESSED and 0 < missing_bytes <= MISSING_CAP_BYTES
    return file + bytes(missing_bytes) if is_short else file
