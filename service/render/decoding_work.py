"""Bound the work of decoding a picture file before any decoder sees it. No I/O, no decoder.

Pillow reads all segments of a header in Python, and some formats hide large frames behind a small size. So only JPEG,
PNG, GIF and WebP files of an ordinary structure get a bound. A file without a bound must be decoded in a child process
with limits on time and memory.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812  (the module's name for it is `error`)

from service.render.jpeg_file import END, SCAN, SEGMENTS, START_OF_SCAN

PARTS_CAP = 1024
"""Maximum number of segments (JPEG), chunks (PNG) or blocks (GIF). A file with more is treated as a large file.

Pillow holds the GIL for 3 to 20 us for each of them (measured). An ordinary PNG of 4 MiB has 512 chunks of 8 KiB.
"""
METADATA_CAP_BYTES = 2**18
"""The maximum number of bytes of metadata in a file with a bound. EXIF, XMP and colour profile of a photograph take up
to 100 kB."""
PNG_METADATA_CAP = 64
"""The maximum number of metadata chunks in a PNG file with a bound. Reading it inflates EXIF in text chunks and one
colour profile (see `png_file`)."""
USUAL_SCANS = 10
"""The maximum number of scans of an ordinary progressive JPEG (assumed). A hostile file may have 100,000, each over all
pixels."""
WIDE_COST = 4
"""How many pixels a pixel of 16 bits counts for. Its lower bytes are decoded and converted too (measured: 3 times)."""

# JPEG (ITU-T T.81 B.1.1.3): the markers of frame headers.
FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xDE}

# The first bytes of GIF blocks: image descriptor, extension, application extension (GIF89a, sections 20, 24 and 26).
IMAGE, EXTENSION, APPLICATION = 0x2C, 0x21, 0xFF

_JPEG_SEGMENT = Struct(">BBH")
_HEIGHT_WIDTH = Struct(">HH")
_PNG_CHUNK = Struct(">I4s")
_PNG_HEADER = Struct(">IIB")
_GIF_SCREEN = Struct("<HHB")
_GIF_FRAME = Struct("<HHHH")
_WEBP_SIZE = Struct("<HH")
_WEBP_BITS = Struct("<I")


def bound_px(file: bytes) -> int | None:
    """Return an upper bound of the pixels that a decoder must process for a file, or None if no bound is known.

    The pixels of a JPEG with more than USUAL_SCANS scans, and of a PNG of 16 bits, count several times. The bound is at
    least the number of bytes of the file.
    """
    try:
        picture_px = _bound_by_format(file)
    except (StructError, IndexError):  # the file ends within its header
        return None
    return None if picture_px is None else max(picture_px, len(file))


def _bound_by_format(file: bytes) -> int | None:
    if file.startswith(b"\xff\xd8\xff"):
        return _bound_jpeg(file)
    if file.startswith(b"\x89PNG\r\n\x1a\n"):
        return _bound_png(file)
    if file.startswith((b"GIF87a", b"GIF89a")):
        return _bound_gif(file)
    if file.startswith(b"RIFF") and file[8:12] == b"WEBP":
        return _bound_webp(file)
    if file.startswith((b"II", b"MM", b"BM")) or file[4:8] == b"ftyp":  # TIFF, BMP and AVIF get no bound
        return None
    return 0  # not a picture: Pillow reads the first 16 bytes and refuses the file


def _bound_jpeg(file: bytes) -> int | None:
    """Return the pixels in a JPEG's largest frame header, times its scans / USUAL_SCANS (rounded up), or None."""
    start, frame_px, scans = 2, 0, file.count(SCAN)
    if file.count(b"Exif\0\0", 0, METADATA_CAP_BYTES) > 1:
        return None  # Pillow joins several EXIF segments, and reading them may take up to the square of their length
    for _ in range(PARTS_CAP):
        prefix, marker, length = _JPEG_SEGMENT.unpack_from(file, start)
        if prefix != 0xFF or marker not in SEGMENTS or length < 2 or start > METADATA_CAP_BYTES:  # noqa: PLR2004
            return None  # fill bytes, a marker that no ordinary header has, or too much metadata
        if marker == START_OF_SCAN:
            if file.find(END, start) < 0:
                return None  # see `lacks_end`
            return frame_px * -(-scans // USUAL_SCANS)
        if marker in FRAME_HEADERS:
            height_px, width_px = _HEIGHT_WIDTH.unpack_from(file, start + 5)
            frame_px = max(frame_px, width_px * height_px)
        start += 2 + length
    return None


def _bound_png(file: bytes) -> int | None:
    """Return the work in pixels of a PNG's largest IHDR chunk, or None. All chunks up to the end are read."""
    start, picture_px, metadata, metadata_bytes = 8, 0, 0, 0
    for _ in range(PARTS_CAP):
        if start + _PNG_CHUNK.size > len(file):
            return picture_px
        length, kind = _PNG_CHUNK.unpack_from(file, start)
        if kind == b"IEND":
            return picture_px
        if kind == b"IHDR":
            width_px, height_px, depth_bits = _PNG_HEADER.unpack_from(file, start + _PNG_CHUNK.size)
            cost = WIDE_COST if depth_bits == 16 else 1  # noqa: PLR2004  (bits)
            picture_px = max(picture_px, width_px * height_px * cost)
        if kind not in {b"IDAT", b"fdAT"}:
            metadata, metadata_bytes = metadata + 1, metadata_bytes + length
            if metadata > PNG_METADATA_CAP or metadata_bytes > METADATA_CAP_BYTES:
                return None
        start += _PNG_CHUNK.size + length + 4
    return None


def _bound_gif(file: bytes) -> int | None:
    """Return the number of pixels of a GIF's screen, which Pillow extends to contain the first frame, or None."""
    screen_width_px, screen_height_px, flags = _GIF_SCREEN.unpack_from(file, 6)
    start = 13 + _color_table_bytes(flags)
    for _ in range(PARTS_CAP):
        if file[start] == IMAGE:
            left, top, width_px, height_px = _GIF_FRAME.unpack_from(file, start + 1)
            return int(max(screen_width_px, left + width_px) * max(screen_height_px, top + height_px))
        if file[start] != EXTENSION:
            return None
        end = _find_extension_end(file, start)
        if end is None:
            return None
        start = end
    return None


def _color_table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _find_extension_end(file: bytes, start: int) -> int | None:
    """Return the offset after a GIF extension block, or None if Pillow would find its end elsewhere."""
    label, block, blocks = file[start + 1], start + 2, 0
    while length := file[block]:
        block, blocks = block + 1 + length, blocks + 1
        if blocks > PARTS_CAP:
            return None
    least = 2 if label == APPLICATION else 1  # with fewer sub-blocks, Pillow reads past the extension's end
    return None if blocks < least or block > METADATA_CAP_BYTES else block + 1


def _bound_webp(file: bytes) -> int | None:
    """Return the number of pixels of a WebP's canvas, or None. libwebp refuses frames that do not fit the canvas."""
    match file[12:16]:
        case b"VP8 ":
            width_px, height_px = (side_px & 0x3FFF for side_px in _WEBP_SIZE.unpack_from(file, 26))
        case b"VP8L":
            (bits,) = _WEBP_BITS.unpack_from(file, 21)
            width_px, height_px = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            width_px, height_px = (1 + int.from_bytes(file[at : at + 3], "little") for at in (24, 27))
        case _:
            return None
    return int(width_px * height_px)
