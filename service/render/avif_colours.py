"""Read the code points of an AVIF file's colours from its boxes (ISO/IEC 14496-12 and 23008-12). No I/O, no decoder.

Pillow gives the pixels of an AVIF as they are stored, and its ICC profile, but not the `nclx` box, which names the
colour space by code points (ITU-T H.273).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812  (the module's name for it is `error`)

BOXES_CAP = 4096
"""The maximum number of boxes in a box that are read. A picture of 64 tiles has about 300 properties."""

_BOX = Struct(">I4s")
_LARGE_SIZE = Struct(">Q")
_CODE_POINTS = Struct(">HH")
_COUNT = Struct(">I")
_ITEM_16, _ITEM_32 = Struct(">H"), Struct(">I")
# The bytes before the children of the boxes `meta`, `stsd`, and of a visual sample entry (14496-12, 8.11.1 and 12.1.3).
_META_HEAD, _STSD_HEAD, _ENTRY_HEAD = 4, 8, 78


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    body: bytes


def find_code_points(file: bytes) -> tuple[int, int] | None:
    """Return the primaries and the transfer function of the primary picture, or None if its boxes name none."""
    try:
        return _of_item(file) or _of_track(file)
    except (StructError, IndexError):  # a box ends before its fields
        return None


def _of_item(file: bytes) -> tuple[int, int] | None:
    meta = _find(file, b"meta")
    if meta is None:
        return None
    meta = meta[_META_HEAD:]
    properties, primary = _find(meta, b"iprp"), _find(meta, b"pitm")
    if properties is None or primary is None:
        return None
    owned = list(_read_boxes(_find(properties, b"ipco") or b""))
    item = (_ITEM_32 if primary[0] else _ITEM_16).unpack_from(primary, 4)[0]
    indexes = _find_properties(_find(properties, b"ipma") or b"", item)
    return _pick_nclx(owned[index - 1] for index in indexes if 0 < index <= len(owned))


def _find_properties(ipma: bytes, item: int) -> list[int]:
    """Return the indexes, from 1, of the properties of an item (23008-12, 9.3.2: `ipma`)."""
    is_long, are_wide = ipma[0] > 0, bool(ipma[3] & 1)
    (count,), start = _COUNT.unpack_from(ipma, 4), 8
    number, width = (_ITEM_32 if is_long else _ITEM_16), (2 if are_wide else 1)
    for _ in range(min(count, BOXES_CAP)):
        (owner,) = number.unpack_from(ipma, start)
        first, many = start + number.size + 1, ipma[start + number.size]
        start = first + many * width
        if owner == item:
            mask = 0x7FFF if are_wide else 0x7F
            return [int.from_bytes(ipma[at : at + width], "big") & mask for at in range(first, start, width)]
    return []


def _of_track(file: bytes) -> tuple[int, int] | None:
    """Return the code points of an image sequence's first track."""
    boxes = file
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        found = _find(boxes, kind)
        if found is None:
            return None
        boxes = found
    entry = _find(boxes[_STSD_HEAD:], b"av01")
    return None if entry is None else _pick_nclx(_read_boxes(entry[_ENTRY_HEAD:]))


def _pick_nclx(boxes: Iterator[_Box]) -> tuple[int, int] | None:
    for box in boxes:
        if box.kind == b"colr" and box.body[:4] == b"nclx":
            primaries, transfer = _CODE_POINTS.unpack_from(box.body, 4)
            return primaries, transfer
    return None


def _find(boxes: bytes, kind: bytes) -> bytes | None:
    return next((box.body for box in _read_boxes(boxes) if box.kind == kind), None)


def _read_boxes(boxes: bytes) -> Iterator[_Box]:
    start = 0
    for _ in range(BOXES_CAP):
        if start + _BOX.size > len(boxes):
            return
        size, kind = _BOX.unpack_from(boxes, start)
        head = _BOX.size
        if size == 1:
            (size,), head = _LARGE_SIZE.unpack_from(boxes, start + head), head + _LARGE_SIZE.size
        elif size == 0:  # up to the end of the file
            size = len(boxes) - start
        if size < head:
            return
        yield _Box(kind, boxes[start + head : start + size])
        start += size
