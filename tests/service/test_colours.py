"""Colours follow what a file says of them: the content of ICC profiles, the chunks of PNG, the code points of AVIF."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from service.render import avif_colours, image_file
from service.render.image_file import ImageLimits
from tests.service import made_pictures as made
from tests.service.made_pictures import GREYS, P3, QUADRANTS, ROTATED, SRGB, centres, chunk, farthest, iccp, linear, png

SHOWN_GREYS = [(value,) * 3 for value in GREYS]


def saved(pixels: NDArray[np.uint8], kind: str, **options: Any) -> bytes:  # noqa: ANN401  (Pillow's options)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def shown(blob: bytes) -> list[tuple[int, ...]]:
    return centres(image_file.read(blob, limits=ImageLimits(10**7)).pixels)


UP = made.quadrants()
ROTATED_UP = np.ascontiguousarray(UP[..., [1, 2, 0]])
LINEAR = np.rint(linear(UP) * 65535).astype(np.uint16)
LINEAR_GREY = np.rint(linear(made.grey_quadrants()) * 65535).astype(np.uint16)
OPAQUE = np.full((64, 64, 1), 65535, np.uint16)


@pytest.mark.parametrize(
    ("colorants", "pixels", "is_linear", "description"),
    [
        (SRGB, LINEAR, True, "GIMP built-in Linear sRGB"),
        (P3, made.in_p3(UP), False, "P3 D65 with sRGB curve"),
        (ROTATED, ROTATED_UP, False, "sRGB IEC61966-2.1"),
        (P3, made.in_p3(UP), False, "Display P3"),
    ],
)
def test_a_profile_counts_by_its_content(
    colorants: NDArray[np.float64], pixels: NDArray[np.uint8], *, is_linear: bool, description: str
) -> None:
    icc = made.rgb_profile(colorants, description, linear_light=is_linear)
    assert farthest(shown(png(pixels, iccp(icc))), QUADRANTS) <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_srgb_profile_changes_no_pixel(kind: str) -> None:
    """Whatever its description is. A conversion from sRGB to sRGB would round some values."""
    ramp = np.stack(np.meshgrid(np.arange(256), np.arange(64), [7]), -1).reshape(64, 256, 3).astype(np.uint8)
    plain = image_file.read(saved(ramp, kind), limits=ImageLimits(10**7)).pixels
    for icc in (
        made.rgb_profile(SRGB, "a display"),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ):
        tagged = image_file.read(saved(ramp, kind, icc_profile=icc), limits=ImageLimits(10**7)).pixels
        assert np.array_equal(tagged, plain), f"pixels differ by {farthest(tagged, plain)}"


@pytest.mark.parametrize(
    "pixels",
    [
        LINEAR_GREY,
        (LINEAR_GREY >> 8).astype(np.uint8),
        np.dstack([LINEAR_GREY, OPAQUE]),
        np.dstack([(LINEAR_GREY >> 8).astype(np.uint8), OPAQUE.astype(np.uint8)]),
    ],
    ids=["16 bits", "8 bits", "16 bits with alpha", "8 bits with alpha"],
)
@pytest.mark.parametrize("says", [iccp(made.linear_grey_profile()), chunk(b"gAMA", struct.pack(">I", 100_000))])
def test_grey_follows_its_profile(pixels: NDArray[np.uint8], says: bytes) -> None:
    assert farthest(shown(png(pixels, says)), SHOWN_GREYS) <= 5


def test_a_grey_profile_on_colours_is_ignored() -> None:
    assert farthest(shown(png(UP, iccp(made.linear_grey_profile()))), QUADRANTS) == 0


GAMMA = chunk(b"gAMA", struct.pack(">I", 45455))
LINEAR_GAMMA = chunk(b"gAMA", struct.pack(">I", 100_000))
ROTATED_CHROMATICITIES = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 30000, 60000, 15000, 6000, 64000, 33000))
P3_CODE_POINTS = chunk(b"cICP", bytes([12, 13, 0, 1]))
PNG_COLOURS = {
    "linear light": png(LINEAR, LINEAR_GAMMA),
    "the gamma of old Macintoshes": png(
        np.rint(linear(UP) ** (1 / 1.8) * 65535).astype(np.uint16), chunk(b"gAMA", struct.pack(">I", 55_556))
    ),
    "other primaries": png(ROTATED_UP, ROTATED_CHROMATICITIES),
    "other primaries with a gamma": png(
        np.ascontiguousarray(np.rint(linear(UP) ** (1 / 2.2) * 65535).astype(np.uint16)[..., [1, 2, 0]]),
        GAMMA,
        ROTATED_CHROMATICITIES,
    ),
    "code points of P3": png(made.in_p3(UP), P3_CODE_POINTS),
    "code points of P3, narrow range": png(
        np.rint(made.in_p3(UP) / 255 * 219 + 16).astype(np.uint8), chunk(b"cICP", bytes([12, 13, 0, 0]))
    ),
    "code points before a profile": png(made.in_p3(UP), P3_CODE_POINTS, iccp(made.rgb_profile(ROTATED, "rotated"))),
    "a profile before a gamma": png(ROTATED_UP, iccp(made.rgb_profile(ROTATED, "rotated")), LINEAR_GAMMA),
    "sRGB before a gamma": png(UP, chunk(b"sRGB", b"\0"), LINEAR_GAMMA, ROTATED_CHROMATICITIES),
}


@pytest.mark.parametrize("name", PNG_COLOURS)
def test_the_colour_chunks_of_a_png_count(name: str) -> None:
    """PNG, third edition, 4.3: cICP, then iCCP, then sRGB, then gAMA and cHRM."""
    assert farthest(shown(PNG_COLOURS[name]), QUADRANTS) <= 3


@pytest.mark.parametrize(
    "says",
    [
        GAMMA,
        chunk(b"gAMA", bytes(4)),
        chunk(b"gAMA", b"\0"),
        chunk(b"cHRM", bytes(32)),
        chunk(b"cHRM", struct.pack(">8I", *[33_000] * 8)),
        chunk(b"cICP", bytes([1, 13, 0, 1])),
        chunk(b"cICP", bytes([99, 99, 0, 1])),
    ],
)
def test_chunks_that_name_srgb_or_make_no_sense_change_nothing(says: bytes) -> None:
    assert farthest(shown(png(UP, says)), QUADRANTS) == 0


OUT_OF_PLACE = {
    "a gamma": LINEAR_GAMMA,
    "primaries": ROTATED_CHROMATICITIES,
    "code points": P3_CODE_POINTS,
    "a profile": iccp(made.rgb_profile(ROTATED, "rotated")),
}


@pytest.mark.parametrize("name", OUT_OF_PLACE)
def test_a_colour_chunk_out_of_place_does_not_count(name: str) -> None:
    """PNG, third edition, table 8: they precede PLTE and the pixels. libpng ignores others, as browsers do."""
    late = OUT_OF_PLACE[name]
    assert farthest(shown(png(UP, after=late)), QUADRANTS) == 0
    assert farthest(shown(png(UP, chunk(b"PLTE", bytes(range(6))), late)), QUADRANTS) == 0


LINEAR_RGB = made.rgb_profile(SRGB, "linear light", linear_light=True)


def test_a_profile_for_colours_on_grey_counts_where_browsers_use_it() -> None:
    """They do for JPEG, as a tool leaves it that drops the colours of a photograph. libpng refuses it for PNG."""
    light = np.ascontiguousarray((LINEAR_GREY >> 8).astype(np.uint8)[..., 0])
    assert farthest(shown(saved(light, "JPEG", quality=98, icc_profile=LINEAR_RGB)), SHOWN_GREYS) <= 5
    assert farthest(shown(png(made.grey_quadrants(), iccp(LINEAR_RGB))), SHOWN_GREYS) == 0


PROFILE_NAME = b"ICC_PROFILE\0"


def profile_part(number: int, count: int, part: bytes) -> bytes:
    return (
        struct.pack(">BBH", 0xFF, 0xE2, 2 + len(PROFILE_NAME) + 2 + len(part))
        + PROFILE_NAME
        + bytes([number, count])
        + part
    )


@pytest.mark.parametrize("before", [0xD8, 0xDB, 0xC0, 0xC4], ids=["first", "tables", "frame header", "Huffman tables"])
@pytest.mark.parametrize(("numbers", "counts"), [((1, 2), True), ((2, 1), True), ((1,), False), ((1, 1, 2), False)])
def test_a_profile_may_stand_anywhere_in_the_header_of_a_jpeg(
    before: int, numbers: tuple[int, ...], *, counts: bool
) -> None:
    """ICC.1:2022, B.4: in any order of its parts. libjpeg ignores a profile whose parts are not all there once."""
    icc = made.rgb_profile(ROTATED, "rotated")
    halves = icc[:500], icc[500:]
    parts = b"".join(profile_part(number, 2, halves[number - 1]) for number in numbers)
    plain = saved(ROTATED_UP if counts else UP, "JPEG", quality=98, subsampling=0)
    start = 2 if before == 0xD8 else plain.index(bytes([0xFF, before]))
    assert farthest(shown(plain[:start] + parts + plain[start:]), QUADRANTS) <= 3


def bitmap(pixels: NDArray[np.uint8], alpha: int, icc: bytes = b"") -> bytes:
    """Return a BMP with a BITMAPV5HEADER, an alpha channel, and a profile if there is one."""
    body = np.dstack([pixels[::-1, :, ::-1], np.full((64, 64), alpha, np.uint8)]).tobytes()
    head = struct.pack("<IiiHHIIiiII", 124, 64, 64, 1, 32, 3, len(body), 2835, 2835, 0, 0)
    head += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + (b"DEBM" if icc else b"BGRs") + bytes(48)
    head += struct.pack("<4I", 4, 124 + len(body), len(icc), 0)
    return b"BM" + struct.pack("<IHHI", 138 + len(body) + len(icc), 0, 0, 138) + head + body + icc


def test_the_profile_of_a_bmp_counts() -> None:
    assert farthest(shown(bitmap(ROTATED_UP, 255, made.rgb_profile(ROTATED, "rotated"))), QUADRANTS) <= 3


def test_a_bmp_without_any_opaque_pixel_is_opaque() -> None:
    """Many programs leave the fourth byte 0. Chrome and Windows show such a picture."""
    assert farthest(shown(bitmap(UP, 0)), QUADRANTS) == 0
    assert farthest(shown(bitmap(UP, 1)), [(254,) * 3] * 4) <= 2


RAMP = np.linspace(0, 255, 1024)[None, :, None].repeat(3, 2).repeat(4, 0)
"""sRGB values from black to white, with fractions."""
LINEAR_RAMP = np.rint(linear(RAMP) * 65535).astype(np.uint16)  # type: ignore[arg-type]
WIDE = {
    "RGB": png(LINEAR_RAMP, iccp(LINEAR_RGB)),
    "RGB with alpha": png(np.dstack([LINEAR_RAMP, np.full((4, 1024), 65535, np.uint16)]), iccp(LINEAR_RGB)),
    "RGB with a gamma": png(LINEAR_RAMP, LINEAR_GAMMA),
    "grey": png(LINEAR_RAMP[..., :1], iccp(made.linear_grey_profile())),
}


@pytest.mark.parametrize("name", WIDE)
def test_shadows_of_16_bits_keep_their_steps(name: str) -> None:
    """A linear value of 1 of 255 is 13 in sRGB: with 8 bits, shadows are black or 13, with nothing between."""
    found = image_file.read(WIDE[name], limits=ImageLimits(10**7)).pixels.astype(int)
    assert farthest(found, np.rint(RAMP)) <= 2
    assert np.diff(found[0, :, 1]).max() <= 2


def pq(pixels: NDArray[np.uint8], nits: float = 203) -> NDArray[np.uint16]:
    """Return sRGB pixels in PQ (SMPTE ST 2084) and the primaries of BT.2020 (ITU-R BT.2087), white at so many cd/m2."""
    wide = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    power = (np.clip(linear(pixels) @ wide.T, 0, 1) * nits / 10_000) ** (2610 / 16384)
    signal = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    return np.asarray(np.rint(signal * 65535), np.uint16)


PQ = chunk(b"cICP", bytes([9, 16, 0, 1]))


def test_high_dynamic_range_keeps_the_colours_below_white() -> None:
    assert farthest(shown(png(pq(UP), PQ)), QUADRANTS) <= 5


def test_high_dynamic_range_keeps_differences_above_white() -> None:
    """Twice and four times the light of paper must not both become 255."""
    white, twice, four_times = (shown(png(pq(np.full_like(UP, 255), nits), PQ))[0][1] for nits in (203, 406, 812))
    assert 225 <= white < twice < four_times <= 255


def with_code_points(avif: bytes, primaries: int, transfer: int) -> bytes:
    """Return an AVIF whose `nclx` boxes name other code points."""
    assert avif.count(b"colrnclx") > 0
    parts = avif.split(b"colrnclx")
    return parts[0] + b"".join(b"colrnclx" + struct.pack(">HH", primaries, transfer) + part[4:] for part in parts[1:])


@pytest.mark.parametrize("options", [{}, {"save_all": True, "append_images": [Image.new("RGB", (64, 64))]}])
def test_the_code_points_of_an_avif_count(options: dict[str, Any]) -> None:
    p3 = saved(made.in_p3(UP), "AVIF", quality=100, subsampling="4:4:4", **options)
    assert farthest(shown(with_code_points(p3, 12, 13)), QUADRANTS) <= 4
    high_range = saved((pq(UP) >> 8).astype(np.uint8), "AVIF", quality=100, subsampling="4:4:4", **options)
    assert farthest(shown(with_code_points(high_range, 9, 16)), QUADRANTS) <= 45  # 8 bits of PQ are coarse
    ordinary = saved(UP, "AVIF", quality=100, subsampling="4:4:4", **options)
    assert farthest(shown(with_code_points(ordinary, 1, 1)), shown(ordinary)) == 0


def test_the_profile_of_an_avif_counts_before_its_code_points() -> None:
    icc = made.rgb_profile(ROTATED, "rotated")
    file = saved(ROTATED_UP, "AVIF", quality=100, subsampling="4:4:4", icc_profile=icc)
    assert farthest(shown(file), QUADRANTS) <= 4


def test_damaged_boxes_of_an_avif_name_nothing() -> None:
    file = saved(UP, "AVIF")
    for start in range(min(len(file), 400)):
        for change in (b"\0", b"\1", b"\xff" * 4):
            found = avif_colours.find_code_points(file[:start] + change + file[start + len(change) :])
            assert found is None or len(found) == 2
        avif_colours.find_code_points(file[:start])
