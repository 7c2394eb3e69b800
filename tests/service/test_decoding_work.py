"""The bound of the work of a file, found without a decoder: which files a thread of the edge may open."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from service.render.decoding_work import METADATA_CAP_BYTES, PARTS_CAP, PNG_METADATA_CAP, bound_px
from service.render.opened_picture import FORMATS
from service.upstream.source_reader import SMALL_PX


def saved(kind: str, **options: object) -> bytes:
    """Return a file of 64 x 48 pixels."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(file, kind, **options)
    return file.getvalue()


JPEG, PNG, GIF, WEBP = saved("JPEG"), saved("PNG"), saved("GIF"), saved("WEBP")


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def jpeg_with(*header: bytes) -> bytes:
    return JPEG[:2] + b"".join(header) + JPEG[2:]


def png_with(*chunks: bytes) -> bytes:
    """Return a PNG with more chunks behind its header."""
    return PNG[:33] + b"".join(chunks) + PNG[33:]


def gif_with(*extensions: bytes) -> bytes:
    start = GIF.index(b"\x2c", 13 + (3 << (GIF[10] & 7) + 1))
    return GIF[:start] + b"".join(extensions) + GIF[start:]


def tiff_of_one_tile(side_px: int) -> bytes:
    """Return a TIFF of 64 x 64 pixels in one tile of side_px x side_px."""
    tile = zlib.compress(bytes(side_px**2), 9)
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: side_px, 323: side_px, 324: 8, 325: len(tile)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(tile)) + tile + directory


def avif_with_a_false_size() -> bytes:
    """Return an AVIF of 64 x 48 pixels whose `ispe` box says 8 x 8."""
    return saved("AVIF").replace(b"ispe" + struct.pack(">III", 0, 64, 48), b"ispe" + struct.pack(">III", 0, 8, 8))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_an_ordinary_file_is_bounded_by_its_pixels_and_bytes(kind: str) -> None:
    file = saved(kind)
    assert bound_px(file) == max(64 * 48, len(file))


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}], ids=["lossless", "extended"]
)
def test_each_form_of_webp_is_bounded(options: dict[str, object]) -> None:
    file = saved("WEBP", **options)
    assert bound_px(file) == max(64 * 48, len(file))


def test_usual_metadata_keeps_a_file_small() -> None:
    profile = segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(3000))
    assert bound_px(jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(60_000)), profile)) is not None
    assert bound_px(png_with(*[chunk(b"tEXt", b"date\0now")] * 40)) is not None
    assert bound_px(gif_with(b"!\xff\x0bNETSCAPE2.0\x03\1\0\0\0", b"!\xf9\4\0\0\0\0\0", b"!\xfe\2hi\0")) is not None


UNBOUNDED = {
    "TIFF whose tile is larger than the picture": tiff_of_one_tile(256),
    "TIFF": saved("TIFF"),
    "BMP": saved("BMP"),
    "AVIF whose frame is larger than its box says": avif_with_a_false_size(),
    "AVIF": saved("AVIF"),
    "JPEG, fill bytes": jpeg_with(b"\xff"),
    "JPEG, bytes between segments": JPEG[:2] + segment(0xEF, b"") + bytes(1) + JPEG[2:],
    "JPEG, empty segments": jpeg_with(*[segment(0xEF, b"")] * PARTS_CAP),
    "JPEG, parts of a profile": jpeg_with(*[segment(0xE2, b"ICC_PROFILE\0\1\1")] * PARTS_CAP),
    "JPEG, parts of EXIF": jpeg_with(*[segment(0xE1, b"Exif\0\0II*\0")] * 2),
    "JPEG, long segments": jpeg_with(*[segment(0xDB, bytes(65_000))] * 5),
    "JPEG, a segment shorter than its length": jpeg_with(b"\xff\xef\0\0"),
    "JPEG, a marker without a segment": jpeg_with(b"\xff\xd0\0\2"),
    "JPEG that ends in its header": JPEG[:30],
    "PNG, texts": png_with(*[chunk(b"tEXt", b"a\0b")] * PNG_METADATA_CAP),
    "PNG, texts behind the picture": PNG[:-12] + chunk(b"tEXt", b"a\0b") * PNG_METADATA_CAP + PNG[-12:],
    "PNG, a long text": png_with(chunk(b"tEXt", b"a\0" + bytes(METADATA_CAP_BYTES))),
    "PNG, many parts of the picture": png_with(*[chunk(b"IDAT", b"")] * PARTS_CAP),
    "GIF, extensions": gif_with(*[b"!\xfe\1a\0"] * PARTS_CAP),
    "GIF, blocks of an extension": gif_with(b"!\xfe" + b"\1a" * (PARTS_CAP + 1) + b"\0"),
    "GIF, an empty extension": gif_with(b"!\xf9\0"),
    "GIF, an application without blocks": gif_with(b"!\xff\x0bNETSCAPE2.0\0"),
    "GIF, bytes before the picture": gif_with(b"?"),
    "WebP of another form": WEBP[:12] + b"VP9 " + WEBP[16:],
}


@pytest.mark.parametrize("reason", UNBOUNDED)
def test_a_file_that_may_cost_more_than_its_header_says_has_no_bound(reason: str) -> None:
    assert bound_px(UNBOUNDED[reason]) is None


LARGE = {
    "PNG with two headers": png_with(chunk(b"IHDR", struct.pack(">IIBBBBB", 8000, 8000, 8, 2, 0, 0, 0))),
    "PNG of 16 bits": PNG[:16] + struct.pack(">IIB", 1500, 1500, 16) + PNG[25:],
    "JPEG with two frame headers": jpeg_with(segment(0xC0, struct.pack(">BHHB", 8, 8000, 8000, 3) + bytes(9))),
    "GIF whose frame is larger than its screen": gif_with(b"\x2c" + struct.pack("<HHHHB", 0, 0, 8000, 8000, 0)),
    "GIF whose frame lies outside of its screen": gif_with(b"\x2c" + struct.pack("<HHHHB", 8000, 8000, 1, 1, 0)),
    "GIF of a large screen": GIF[:6] + struct.pack("<HH", 8000, 8000) + GIF[10:],
    "WebP of a large canvas": WEBP[:26] + struct.pack("<HH", 8000, 8000) + WEBP[30:],
}


@pytest.mark.parametrize("reason", LARGE)
def test_the_largest_size_in_the_header_counts(reason: str) -> None:
    assert (bound_px(LARGE[reason]) or 0) > SMALL_PX


@given(st.binary(max_size=40))
def test_a_file_that_pillow_opens_in_another_format_has_no_bound(rest: bytes) -> None:
    """The decoders of these formats are never reached from a thread of the edge."""
    Image.init()
    others = [Image.OPEN[kind][1] for kind in FORMATS if kind not in {"JPEG", "PNG", "GIF", "WEBP"}]
    signatures = [b"BM", *TiffImagePlugin.PREFIXES, *(bytes(4) + b"ftyp" + one for one in (b"avif", b"mif1", b"msf1"))]
    for file in (rest, *(signature + rest for signature in signatures)):
        if len(file) > 16 and any(accept is not None and accept(file[:16]) for accept in others):
            assert bound_px(file) is None


@given(st.sampled_from([JPEG, PNG, GIF, WEBP]), st.integers(0, 3000), st.binary(min_size=1, max_size=8))
def test_any_bytes_get_a_bound_or_none(file: bytes, start: int, change: bytes) -> None:
    bound = bound_px(file[:start] + change + file[start + len(change) :])
    assert bound is None or bound >= 0


def test_other_files_are_bounded_by_their_bytes() -> None:
    """Pillow refuses them for their first 16 bytes, so that an error page of the origin starts no child."""
    assert bound_px(b"<html>") == len(b"<html>")
