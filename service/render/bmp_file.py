"""Read the ICC profile of a BMP file, which Pillow ignores. No I/O, no decoder.

The layout of BITMAPV5HEADER is in Microsoft's documentation of wingdi.h.
"""

from __future__ import annotations

from struct import Struct

_FILE_HEAD = 14
"""The bytes before the header of the picture."""
_V5_BYTES = 124
_SIZE = Struct("<I")
_PROFILE = Struct("<II")
"""bV5ProfileData and bV5ProfileSize: the offset of the profile from the header, and its length."""
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
