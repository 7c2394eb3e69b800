"""Reduce a PNG file to what shows its first frame, and read what its chunks say of colour. No I/O, no decoder.

Pillow refuses a whole picture for a long text or for a damaged chunk beside it. Browsers ignore such chunks, so they
are dropped before Pillow sees the file. Chunk names and layouts: PNG, third edition (W3C, 2025), clause 11.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PROFILE_CAP_BYTES = 2**22
"""The longest colour profile that is inflated. Profiles of printers with several tables take up to 3 MB."""
RAW_EXIF = b"Raw profile type exif\0"
"""The beginning of a text chunk that holds EXIF, as ImageMagick wrote it before the eXIf chunk existed."""

RAW_EXIF_CAP_BYTES = 2**18
"""The longest such text that is kept. It is hexadecimal, with line breaks: 64 KiB of EXIF take 135 kB."""

GREY, GREY_ALPHA, PALETTE = 0, 4, 3
"""Colour types of IHDR."""

_LENGTH = Struct(">I")
_SIZE = Struct(">II")
_HEADER = Struct(">IIBB")
_FRAME = Struct(">IIIII")
_CHROMATICITIES = Struct(">8I")
_UNIT = 100_000
"""The integers of gAMA and cHRM are the values times 100,000."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class PngColours:
    """What the chunks of a PNG say of its colours. Missing or damaged chunks are None."""

    code_points: tuple[int, int, int, int] | None = None
    """cICP: primaries, transfer function, matrix and whether the range is full (ITU-T H.273)."""
    profile: bytes | None = None
    """iCCP: the inflated ICC profile."""
    is_srgb: bool = False
    """Whether there is an sRGB chunk."""
    gamma: float | None = None
    """gAMA: the exponent of the encoding, 0.45455 for most pictures."""
    chromaticities: tuple[float, ...] | None = None
    """cHRM: x and y of white, red, green and blue."""


@dataclass(frozen=True, slots=True)
class PngFile:
    """The first frame of a PNG file as a plain PNG, and facts about it."""

    file: bytes
    """A PNG with the chunks that decide about the pixels, and no others."""
    depth_bits: int
    is_grey: bool
    """Whether the file holds grey values, with or without alpha."""
    colours: PngColours
    canvas_px: tuple[int, int]
    """Width and height of the picture."""
    frame: Box | None
    """The part of the canvas that `file` covers, if it is not a whole canvas."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    raw: memoryview
    """The whole chunk: length, kind, body and checksum."""

    @property
    def body(self) -> memoryview:
        return self.raw[8:-4]

    @property
    def is_intact(self) -> bool:
        return int.from_bytes(self.raw[-4:], "big") == zlib.crc32(self.raw[4:-4])


@dataclass(frozen=True, slots=True)
class _HiddenFrame:
    """The first frame of an animation that does not begin with the static image."""

    box: Box
    chunks: list[_Chunk]
    """Its pixels and the end of the file."""


def simplify(file: bytes) -> PngFile:
    """Return the first frame of a PNG file. Raises ValueError if the file does not begin with a header."""
    chunks = list(_read_chunks(file))
    if not chunks or chunks[0].kind != b"IHDR" or len(chunks[0].body) < _HEADER.size:
        raise ValueError("a PNG must begin with an IHDR chunk")
    width_px, height_px, depth_bits, colour_type = _HEADER.unpack_from(chunks[0].body)
    canvas_px = (width_px, height_px)
    hidden = _find_hidden_frame(chunks, canvas_px)
    kept = _keep_needed(chunks[1:], colour_type)
    header = chunks[0]
    if hidden is not None:  # the IDAT chunks hold a picture for viewers without APNG
        left, top, right, bottom = hidden.box
        header = _make(b"IHDR", _SIZE.pack(right - left, bottom - top) + bytes(header.body[_SIZE.size :]))
        kept = [chunk for chunk in kept if chunk.kind not in {b"IDAT", b"IEND"}] + hidden.chunks
    return PngFile(
        file=b"".join((SIGNATURE, header.raw, *(chunk.raw for chunk in kept))),
        depth_bits=depth_bits,
        is_grey=colour_type in {GREY, GREY_ALPHA},
        colours=_read_colours(chunks),
        canvas_px=canvas_px,
        frame=None if hidden is None else hidden.box,
    )


def drop_checksum(file: bytes) -> bytes | None:
    """Return a PNG without the last four bytes of its pixels, zlib's checksum (RFC 1950, 2.2).

    Pillow refuses pixels with a wrong one, and browsers show them. Return None unless the checksums of all chunks are
    right: without them, nothing says that the pixels are as they were written.
    """
    chunks = list(_read_chunks(file)) if file.startswith(SIGNATURE) else []
    pixels = [chunk for chunk in chunks if chunk.kind == b"IDAT"]
    if not pixels or not all(chunk.is_intact for chunk in pixels):
        return None
    data = _make(b"IDAT", b"".join(chunk.body for chunk in pixels)[:-4])
    before, after = chunks[: chunks.index(pixels[0])], chunks[chunks.index(pixels[-1]) + 1 :]
    return b"".join((SIGNATURE, *(chunk.raw for chunk in (*before, data, *after))))


def _read_chunks(file: bytes) -> Iterator[_Chunk]:
    """Yield the chunks up to the end of the picture. A truncated last chunk is yielded if it holds pixels."""
    start = len(SIGNATURE)
    while start + 8 <= len(file):
        (length,) = _LENGTH.unpack_from(file, start)
        end = start + 12 + length
        chunk = _Chunk(file[start + 4 : start + 8], memoryview(file)[start:end])
        if end > len(file) and chunk.kind not in {b"IHDR", b"PLTE", b"IDAT"}:
            return
        yield chunk
        if chunk.kind == b"IEND":
            return
        start = end


def _keep_needed(chunks: list[_Chunk], colour_type: int) -> list[_Chunk]:
    kept, kinds = [], set[bytes]()
    for chunk in chunks:
        if _is_needed(chunk, colour_type) and (chunk.kind != b"tRNS" or _may_follow(kinds, colour_type)):
            kept.append(chunk)
        kinds.add(chunk.kind)
    return kept


def _may_follow(kinds: set[bytes], colour_type: int) -> bool:
    """Return whether tRNS may follow chunks of these kinds (table 8). libpng ignores it elsewhere."""
    return b"IDAT" not in kinds and (colour_type != PALETTE or b"PLTE" in kinds)


def _is_needed(chunk: _Chunk, colour_type: int) -> bool:
    """Return whether a chunk decides about the pixels. A decoder may ignore every damaged ancillary chunk (13.1)."""
    match chunk.kind:
        case b"PLTE" | b"IDAT" | b"IEND":
            return True
        case b"tRNS":
            least_bytes = {GREY: 2, PALETTE: 1}.get(colour_type, 6)
            return len(chunk.body) >= least_bytes and chunk.is_intact
        case b"eXIf":
            return chunk.is_intact
        case b"tEXt" | b"zTXt":
            return bytes(chunk.body[: len(RAW_EXIF)]) == RAW_EXIF and chunk.is_intact and _is_short(chunk)
    return False


def _is_short(chunk: _Chunk) -> bool:
    return chunk.kind != b"zTXt" or _inflate(chunk.body[len(RAW_EXIF) + 1 :], RAW_EXIF_CAP_BYTES) is not None


def _inflate(body: bytes | memoryview, cap_bytes: int) -> bytes | None:
    """Return the inflated bytes, or None if they are damaged, or more than `cap_bytes`."""
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(body, cap_bytes)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else inflated


def _find_hidden_frame(chunks: list[_Chunk], canvas_px: tuple[int, int]) -> _HiddenFrame | None:
    """Return the first frame of an APNG whose IDAT chunks are no part of the animation, or None.

    A static image is the first frame only if an fcTL chunk precedes it (PNG, third edition, 4.10).
    """
    kinds = [chunk.kind for chunk in chunks]
    if not {b"acTL", b"fcTL", b"IDAT"} <= set(kinds):
        return None
    static, control = kinds.index(b"IDAT"), kinds.index(b"fcTL")
    box = _read_box(chunks[control].body)
    if kinds.index(b"acTL") > static or control < static or box is None or not _is_inside(box, canvas_px):
        return None
    stop = kinds.index(b"fcTL", control + 1) if b"fcTL" in kinds[control + 1 :] else len(chunks)
    data = [_make(b"IDAT", chunk.body[4:]) for chunk in chunks[control:stop] if chunk.kind == b"fdAT"]
    return _HiddenFrame(box, [*data, _make(b"IEND", b"")]) if data else None


def _read_box(control: memoryview) -> Box | None:
    if len(control) < _FRAME.size:
        return None
    _, width_px, height_px, left, top = _FRAME.unpack_from(control)
    return left, top, left + width_px, top + height_px


def _is_inside(box: Box, canvas_px: tuple[int, int]) -> bool:
    left, top, right, bottom = box
    return left < right <= canvas_px[0] and top < bottom <= canvas_px[1]


def _read_colours(chunks: list[_Chunk]) -> PngColours:
    first: dict[bytes, bytes] = {}
    for chunk in chunks:
        if chunk.kind in {b"PLTE", b"IDAT"}:  # chunks on colours must come before (table 8); libpng ignores later ones
            break
        if chunk.kind in {b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"} and chunk.kind not in first and chunk.is_intact:
            first[chunk.kind] = bytes(chunk.body)
    code_points, gamma = first.get(b"cICP", b""), first.get(b"gAMA", b"")
    return PngColours(
        code_points=(code_points[0], code_points[1], code_points[2], code_points[3]) if len(code_points) == 4 else None,  # noqa: PLR2004  (11.3.2.6)
        profile=_read_profile(first.get(b"iCCP", b"")),
        is_srgb=b"sRGB" in first,
        gamma=_LENGTH.unpack(gamma)[0] / _UNIT if len(gamma) == _LENGTH.size else None,
        chromaticities=_read_chromaticities(first.get(b"cHRM", b"")),
    )


def _read_profile(body: bytes) -> bytes | None:
    _, separator, rest = body.partition(b"\0")
    return (_inflate(rest[1:], PROFILE_CAP_BYTES) or None) if separator and rest[:1] == b"\0" else None


def _read_chromaticities(body: bytes) -> tuple[float, ...] | None:
    if len(body) != _CHROMATICITIES.size:
        return None
    return tuple(value / _UNIT for value in _CHROMATICITIES.unpack(body))


def _make(kind: bytes, body: bytes | memoryview) -> _Chunk:
    raw = b"".join((_LENGTH.pack(len(body)), kind, body, _LENGTH.pack(zlib.crc32(body, zlib.crc32(kind)))))
    return _Chunk(kind, memoryview(raw))
