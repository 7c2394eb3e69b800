"""Whole pictures are decoded although something beside their pixels is missing, damaged or very long."""

import contextlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.picture_array import Pixels
from service.errors import DamagedPicture, NotAPicture, SourceError
from service.render import image_file
from service.render.decoding_work import bound_px
from service.render.image_file import ImageLimits
from service.render.jpeg_file import lacks_end
from tests.service import made_pictures as made
from tests.service.made_pictures import QUADRANTS, ROTATED, centres, chunk, farthest, iccp, png

LIMITS = ImageLimits(10**7)
UP = made.quadrants()
ORIENTATION = 0x0112


def read(blob: bytes) -> Pixels:
    return image_file.read(blob, limits=LIMITS).pixels


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401  (Pillow's options)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(mode: str) -> Image.Image:
    """Return a picture without two equal blocks, so that missing ones change it."""
    rng = np.random.default_rng(5)
    return Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).convert(mode)


def broken(one: bytes) -> bytes:
    """Return a PNG chunk with another checksum."""
    return one[:-1] + bytes([one[-1] ^ 1])


SCANS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "with restarts": {"restart_marker_blocks": 4},
}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("scans", SCANS)
@pytest.mark.parametrize("ending", [b"", b"\xff", bytes(500), b"text behind the picture"])
def test_a_jpeg_without_an_end(mode: str, scans: str, ending: bytes) -> None:
    """Browsers show it. The end (ITU-T T.81, B.1.1.3) says nothing about the pixels."""
    whole = saved(noise(mode), "JPEG", quality=90, **SCANS[scans])
    assert whole.endswith(b"\xff\xd9")
    found = read(whole[:-2] + ending)
    assert np.array_equal(found, read(whole)), f"pixels differ by {farthest(found, read(whole))}"


@pytest.mark.parametrize("scans", SCANS)
@pytest.mark.parametrize("missing_bytes", [40, 400, 3000])
def test_a_jpeg_without_its_last_blocks_is_damaged(scans: str, missing_bytes: int) -> None:
    """A browser shows grey in their place while it loads. A cache would keep the half picture."""
    whole = saved(noise("RGB"), "JPEG", quality=90, **SCANS[scans])
    with pytest.raises(DamagedPicture):
        read(whole[:-missing_bytes])


def test_a_jpeg_without_an_end_has_no_bound() -> None:
    """It is decoded several times, so a thread of the edge must not open it."""
    whole = saved(noise("RGB"), "JPEG")
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(whole)) + whole
    for file in (whole, whole[:2] + thumbnail + whole[2:]):
        assert bound_px(file) is not None
        assert bound_px(file[:-2]) is None
        assert read(file[:-2]).shape == (64, 64, 3)


def test_markers_behind_a_jpeg_are_no_scans() -> None:
    """As in the film behind a moving photograph: such a file has an end, and is decoded once."""
    whole = saved(noise("RGB"), "JPEG")
    film = b"\xff\xda" + bytes(100)
    assert not lacks_end(whole + film)
    assert bound_px(whole + film) is not None
    found = read(whole + film)
    assert np.array_equal(found, read(whole)), f"pixels differ by {farthest(found, read(whole))}"


SEGMENTS = {
    "JFIF": (0xE0, b"JFIF"),
    "JFIF without a density": (0xE0, b"JFIF\0\1\2"),
    "Adobe": (0xEE, b"Adobe"),
    "a part of a profile": (0xE2, b"ICC_PROFILE\0"),
    "a part of a profile that does not exist": (0xE2, b"ICC_PROFILE\0\5\2abc"),
    "EXIF": (0xE1, b"Exif\0\0II"),
    "Photoshop": (0xED, b"Photoshop 3.0\0008BIM\4\4\0\0\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_a_jpeg_with_a_damaged_segment(name: str) -> None:
    whole = saved(Image.fromarray(UP), "JPEG", quality=98, subsampling=0)
    marker, body = SEGMENTS[name]
    damaged = struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body
    assert farthest(centres(read(whole[:2] + damaged + whole[2:])), QUADRANTS) <= 3


@pytest.mark.parametrize("missing_bytes", [1, 500])
def test_a_webp_with_cut_metadata(missing_bytes: int) -> None:
    whole = saved(Image.fromarray(UP), "WEBP", lossless=True, xmp=bytes(999))
    assert centres(read(whole[:-missing_bytes])) == list(QUADRANTS)


def test_a_webp_with_cut_pixels_is_damaged() -> None:
    whole = saved(noise("RGB"), "WEBP", lossless=True, xmp=bytes(9))
    with pytest.raises(DamagedPicture):
        read(whole[: len(whole) // 2])


LONG = bytes(2_000_000)
XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
END = chunk(b"IEND", b"")
WHOLE = png(UP)
PNGS = {
    "a compressed text of 2 MB": png(UP, chunk(b"zTXt", b"parameters\0\0" + zlib.compress(LONG))),
    "an international text of 2 MB": png(UP, chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(LONG))),
    "a plain text of 2 MB": png(UP, chunk(b"tEXt", b"prompt\0" + LONG)),
    "a text of 2 MB behind the pixels": png(UP, after=chunk(b"zTXt", b"parameters\0\0" + zlib.compress(LONG))),
    "EXIF of 2 MB in a text": png(UP, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(LONG))),
    "XMP of 2 MB": png(UP, chunk(b"iTXt", XMP + LONG)),
    "70 texts of 1 MB": png(UP, chunk(b"zTXt", b"a\0\0" + zlib.compress(LONG[:1_000_000])) * 70),
    "a text with an unknown compression": png(UP, chunk(b"zTXt", b"a\0\7abc")),
    "a profile with an unknown compression": png(UP, chunk(b"iCCP", b"a\0\7abc")),
    "a profile that cannot be inflated": png(UP, chunk(b"iCCP", b"a\0\0abc")),
    "a profile of 200 MB": png(UP, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200_000_000)))),
    "a text with a wrong checksum": png(UP, broken(chunk(b"tEXt", b"a\0b"))),
    "a gamma with a wrong checksum": png(UP, broken(chunk(b"gAMA", struct.pack(">I", 100_000)))),
    "a profile with a wrong checksum": png(UP, broken(iccp(made.rgb_profile(ROTATED, "rotated")))),
    "chunks that are too short": png(
        UP, *(chunk(kind, b"\0") for kind in (b"gAMA", b"cHRM", b"pHYs", b"acTL", b"cICP"))
    ),
    "a frame that is too short": png(UP, chunk(b"acTL", struct.pack(">II", 1, 0)), after=chunk(b"fcTL", b"\0")),
    "no end": WHOLE[: -len(END)],
    "a last text that is cut": WHOLE[: -len(END)] + chunk(b"tEXt", b"a\0" + bytes(500))[:100],
    "bytes behind the end": WHOLE + b"more",
}


@pytest.mark.parametrize("name", PNGS)
def test_a_png_with_chunks_that_do_not_count(name: str) -> None:
    """PNG, third edition, 13.1: a decoder may ignore damaged ancillary chunks, as browsers do."""
    assert centres(read(PNGS[name])) == list(QUADRANTS)


def with_zlib_checksum(checksum: bytes, *, intact: bool = True) -> bytes:
    """Return a PNG whose deflated pixels end with another checksum; `intact` says whether that of the chunk fits."""
    data = chunk(b"IDAT", zlib.compress(made.unfiltered(UP.reshape(64, -1)))[:-4] + checksum)
    return WHOLE[: WHOLE.index(b"IDAT") - 4] + (data if intact else broken(data)) + END


def test_a_png_with_a_wrong_checksum_of_its_pixels_is_shown() -> None:
    """Browsers show it. The checksum of the chunk proves that the bytes are those of the writer, which was at fault."""
    assert centres(read(with_zlib_checksum(bytes(4)))) == list(QUADRANTS)
    assert centres(read(with_zlib_checksum(b""))) == list(QUADRANTS)


def test_a_png_with_two_wrong_checksums_is_damaged() -> None:
    """Nothing says that the pixels are those of the writer."""
    with pytest.raises(DamagedPicture):
        read(with_zlib_checksum(bytes(4), intact=False))


@pytest.mark.parametrize("missing_bytes", [1, 2, 3])
def test_a_bmp_without_its_last_bytes_is_shown(missing_bytes: int) -> None:
    """They pad the last row, or are one pixel. Some writers leave them out; browsers show the picture."""
    for width in (64, 62):
        whole = saved(Image.fromarray(UP[:, :width]), "BMP")
        assert centres(read(whole[:-missing_bytes])) == list(QUADRANTS)


def test_a_bmp_without_more_is_damaged() -> None:
    with pytest.raises(DamagedPicture):
        read(saved(Image.fromarray(UP), "BMP")[:-4])


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("behind", ["long", "hostile"])
def test_the_orientation_of_exif_of_any_length(kind: str, behind: str) -> None:
    """EXIF holds thumbnails and notes of the camera. One with as many entries as possible is read in linear time."""
    entries = 65_535 if behind == "hostile" else 1
    exif = b"II*\0" + struct.pack("<IH", 8, entries) + struct.pack("<HHII", ORIENTATION, 3, 1, 3)
    exif += struct.pack("<HHII", 0x927C, 7, 900_000, 8) * (entries - 1) + bytes(900_000)
    upside_down = np.ascontiguousarray(UP[::-1, ::-1])
    if kind == "PNG":
        file = png(upside_down, chunk(b"eXIf", exif))
    else:
        file = saved(Image.fromarray(upside_down), kind, lossless=True, exif=exif)
    assert centres(read(file)) == list(QUADRANTS)


@pytest.mark.parametrize(
    "file",
    [
        WHOLE[:20],
        WHOLE[:16] + b"\1" + WHOLE[17:],
        WHOLE[: len(WHOLE) // 2],
        png(UP).replace(b"IDAT", b"IDAX"),
        WHOLE[:8] + END,
    ],
    ids=["header that is cut", "header with a wrong checksum", "half of the pixels", "no pixels", "no header"],
)
def test_a_png_without_its_pixels_is_damaged(file: bytes) -> None:
    with pytest.raises((DamagedPicture, NotAPicture)):
        read(file)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_profile_of_2_mb_counts(kind: str) -> None:
    padding = np.random.default_rng(2).bytes(2_000_000)
    icc = made.rgb_profile(ROTATED, "long", padding=padding)
    lossless: dict[str, dict[str, Any]] = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}
    rotated = Image.fromarray(np.ascontiguousarray(UP[..., [1, 2, 0]]))
    file = (
        png(np.asarray(rotated), iccp(icc))
        if kind == "PNG"
        else saved(rotated, kind, icc_profile=icc, **lossless.get(kind, {}))
    )
    assert farthest(centres(read(file)), QUADRANTS) <= 8


CHANGED = [WHOLE, *(saved(Image.fromarray(UP), kind) for kind in ("JPEG", "WEBP", "AVIF", "GIF", "TIFF"))]
CHANGED += [png(UP, iccp(made.rgb_profile(ROTATED, "rotated"))), CHANGED[1][:-2]]


@given(st.sampled_from(CHANGED), st.integers(0, 800), st.integers(0, 8), st.binary(max_size=8))
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged tags
def test_changed_bytes_are_decoded_or_refused(file: bytes, start: int, missing_bytes: int, change: bytes) -> None:
    with contextlib.suppress(SourceError):
        assert read(file[:start] + change + file[start + missing_bytes :]).dtype == np.uint8


def xmp(orientation: int) -> bytes:
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/>'
        b"</rdf:RDF></x:xmpmeta>" % orientation
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("exif_tag", [None, (ORIENTATION, 1), (0x010E, "no orientation")])
def test_xmp_turns_no_picture(kind: str, exif_tag: tuple[int, Any] | None) -> None:
    """CSS Images 3, `image-orientation: from-image`: EXIF decides."""
    exif = Image.Exif()
    if exif_tag is not None:
        exif[exif_tag[0]] = exif_tag[1]
    options: dict[str, Any] = {"exif": exif.tobytes()} if exif_tag is not None else {}
    image = Image.fromarray(UP)
    if kind == "PNG":
        exif_chunk = chunk(b"eXIf", exif.tobytes()[6:]) if exif_tag is not None else b""
        file = png(UP, exif_chunk, chunk(b"iTXt", XMP + xmp(6)))
    elif kind == "TIFF":
        file = saved(image, kind, tiffinfo={700: xmp(6)}, **options)
    else:
        file = saved(image, kind, xmp=xmp(6), quality=95, **options)
    assert xmp(6) in file
    assert farthest(centres(read(file)), QUADRANTS) <= 12
