"""Read the orientation of EXIF metadata (EXIF 2.32, 4.6.2), in a time that is linear in its length. No I/O.

Pillow reads all entries of the directory. They may all point to the same bytes, so that its time grows with the square
of the length.
"""

from __future__ import annotations

from struct import error as StructError  # noqa: N812  (the module's name for it is `error`)
from struct import unpack_from

NAME = b"Exif\0\0"
"""What precedes EXIF in a JPEG."""
ORIENTATION = 0x0112
SHORT, LONG = 3, 4

_ENTRY_BYTES = 12


def find_orientation(exif: bytes) -> int | None:
    """Return the orientation, or None if the first directory of the metadata has none or is damaged."""
    exif = exif.removeprefix(NAME)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        return _find_in_directory(exif, order)
    except StructError:  # the metadata ends before the directory does
        return None


def _find_in_directory(exif: bytes, order: str) -> int | None:
    (start,) = unpack_from(order + "I", exif, 4)
    (count,) = unpack_from(order + "H", exif, start)
    for entry in range(start + 2, start + 2 + count * _ENTRY_BYTES, _ENTRY_BYTES):
        tag, kind = unpack_from(order + "HH", exif, entry)
        if tag == ORIENTATION and kind in {SHORT, LONG}:
            return int(unpack_from(order + ("H" if kind == SHORT else "I"), exif, entry + 8)[0])
    return None
