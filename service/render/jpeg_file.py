"""Read the segments of a JPEG's header (ITU-T T.81, B.1.1), and drop damaged ones. No I/O, no decoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

SEGMENTS_CAP = 1024
"""The maximum number of segments of a header that are read."""
# The markers of segments that have a length.
SEGMENTS = frozenset(range(0xC0, 0xD0)) - {0xC8} | frozenset(range(0xDA, 0xF0)) | {0xFE}
START_OF_SCAN = 0xDA
APP2 = 0xE2
PROFILE = b"ICC_PROFILE\0"
SCAN, END = b"\xff\xda", b"\xff\xd9"

LEAST_BYTES = {b"JFIF": 14, b"Adobe": 12, PROFILE: 14}
"""The shortest segments with these names that say something. libjpeg ignores shorter ones, and Pillow fails on them."""

_SEGMENT = Struct(">BBH")


@dataclass(frozen=True, slots=True)
class _Segment:
    marker: int
    start: int
    """The offset of its marker."""
    body: int
    """The offset of its bytes."""
    end: int


def lacks_end(jpeg: bytes) -> bool:
    """Return whether a JPEG has no end after the start of its first scan. Such a file is decoded several times.

    The pixels of a scan never contain that marker (T.81, B.1.1.5), but a thumbnail in the header does.
    """
    start = 2
    for segment in _read_header(jpeg):
        start = segment.start if segment.marker == START_OF_SCAN else segment.end
    return jpeg.find(END, start) < 0


def drop_damaged_segments(jpeg: bytes) -> bytes:
    """Return a JPEG without the segments of its header that are too short for their names."""
    damaged = [segment for segment in _read_header(jpeg) if _is_damaged(jpeg, segment)]
    kept, start = [], 0
    for segment in damaged:
        kept.append(jpeg[start : segment.start])
        start = segment.end
    return b"".join((*kept, jpeg[start:])) if damaged else jpeg


def find_profile(jpeg: bytes) -> bytes | None:
    """Return the ICC profile of a JPEG, or None if there is none, or if not each part is there once.

    ICC.1:2022, B.4: a segment has the number of its part and the number of all parts. Pillow reads the segments before
    the frame header alone; libjpeg reads all up to the scan.
    """
    parts: list[tuple[int, int, bytes]] = []
    for segment in _read_header(jpeg):
        start = segment.body + len(PROFILE)
        if segment.marker == APP2 and jpeg.startswith(PROFILE, segment.body, segment.end) and start + 2 <= len(jpeg):
            parts.append((jpeg[start], jpeg[start + 1], jpeg[start + 2 : segment.end]))
    parts.sort(key=lambda part: part[0])
    if not parts or [part[:2] for part in parts] != [(number, len(parts)) for number in range(1, len(parts) + 1)]:
        return None
    return b"".join(part[2] for part in parts)


def _is_damaged(jpeg: bytes, segment: _Segment) -> bool:
    length = segment.end - segment.body
    return any(
        length < least_bytes and jpeg.startswith(name, segment.body, segment.end)
        for name, least_bytes in LEAST_BYTES.items()
    )


def _read_header(jpeg: bytes) -> Iterator[_Segment]:
    """Yield the segments up to the first scan, or up to bytes that are no segment."""
    start = 2
    for _ in range(SEGMENTS_CAP):
        if start + _SEGMENT.size > len(jpeg):
            return
        prefix, marker, length = _SEGMENT.unpack_from(jpeg, start)
        if prefix == marker == 0xFF:  # noqa: PLR2004  (a fill byte)
            start += 1
            continue
        if prefix != 0xFF or marker not in SEGMENTS:  # noqa: PLR2004
            return
        segment = _Segment(marker, start, start + _SEGMENT.size, start + 2 + length)
        yield segment
        if marker == START_OF_SCAN:
            return
        start = segment.end
