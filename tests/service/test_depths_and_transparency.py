"""Grey of any depth keeps its range, and what is transparent or outside of the first frame shows the background."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from service.errors import NotAPicture
from service.render import image_file
from service.render.image_file import ImageLimits
from service.render.shown_part import Colour
from tests.service import made_pictures as made
from tests.service.made_pictures import BLUE, GREEN, GREYS, QUADRANTS, RED, WHITE, YELLOW, centres, chunk, farthest, png

LIMITS = ImageLimits(10**7)
SHOWN_GREYS = [(value,) * 3 for value in GREYS]
UP, GREY = made.quadrants(), made.grey_quadrants()
WIDE_GREY = GREY.astype(np.uint16) * 257


def shown(blob: bytes, background: Colour = WHITE) -> list[tuple[int, ...]]:
    return centres(image_file.read(blob, limits=LIMITS, background=background).pixels)


# --- transparent colours of PNG (tRNS), where the second quadrant is transparent ---
INDEXES = made.quadrants([(0,), (1,), (2,), (3,)])[..., 0]


def transparent(*values: int) -> bytes:
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def grey_of(depth: int, transparent_value: int) -> bytes:
    """Return a grey PNG of 1, 2 or 4 bits whose quadrants are 0, 1/3, 2/3 and 1, or black and white."""
    values = INDEXES * (2**depth - 1) // 3 if depth > 1 else INDEXES % 2
    rows = made.packed(values.astype(np.uint8), depth)
    return made.png_of_rows(rows, 64, depth, 0, transparent(transparent_value))


THIRDS = ((0, 0, 0), WHITE, (170,) * 3, WHITE)
TRANSPARENT = {
    "grey of 2 bits": (grey_of(2, 1), THIRDS),
    "grey of 4 bits": (grey_of(4, 5), THIRDS),
    "grey of 2 bits, with bits above": (grey_of(2, 0x4201), THIRDS),
    "grey of 1 bit": (grey_of(1, 0), (WHITE,) * 4),
    "grey of 8 bits": (png(GREY, transparent(100)), (SHOWN_GREYS[0], WHITE, *SHOWN_GREYS[2:])),
    "grey of 16 bits": (png(WIDE_GREY, transparent(100 * 257)), (SHOWN_GREYS[0], WHITE, *SHOWN_GREYS[2:])),
    "grey of 16 bits, lower bits": (png(WIDE_GREY, transparent(100 * 257 + 1)), SHOWN_GREYS),
    "RGB of 8 bits": (png(UP, transparent(*GREEN)), (RED, WHITE, BLUE, YELLOW)),
    "RGB of 16 bits": (
        png(UP.astype(np.uint16) * 256 + 17, transparent(*(value * 256 + 17 for value in GREEN))),
        (RED, WHITE, BLUE, YELLOW),
    ),
    "behind the pixels, where libpng ignores it": (png(GREY, after=transparent(100)), SHOWN_GREYS),
    "a chunk that is too short": (png(GREY, chunk(b"tRNS", b"\0")), SHOWN_GREYS),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_a_transparent_value_of_each_depth(name: str) -> None:
    file, wanted = TRANSPARENT[name]
    assert farthest(shown(file), wanted) <= 1


# --- depths of TIFF ---
def twelve_bits(grey: NDArray[np.uint8]) -> bytes:
    """Return two values in three bytes (TIFF 6.0, 8)."""
    values = np.rint(grey[..., 0] / 255 * 4095).astype(np.uint32)
    first, second = values[:, ::2], values[:, 1::2]
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8).tobytes()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("form", ["12 bits", "16 bits", "float", "double", "float up to 255", "float with no number"])
def test_a_grey_tiff_of_each_depth(order: str, *, white_is_zero: bool, form: str) -> None:
    stored = 255 - GREY if white_is_zero else GREY
    body, bits, sample_format = {
        "12 bits": (twelve_bits(stored), 12, 1),
        "16 bits": ((stored.astype(np.uint16) * 257).astype(order + "u2").tobytes(), 16, 1),
        "float": ((stored / 255).astype(order + "f4").tobytes(), 32, 3),
        "double": ((stored / 255).astype(order + "f8").tobytes(), 64, 3),
        "float up to 255": (stored.astype(order + "f4").tobytes(), 32, 3),
        "float with no number": (with_nan(stored / 255).astype(order + "f4").tobytes(), 32, 3),
    }[form]
    file = made.tiff(body, bits, order=order, white_is_zero=white_is_zero, sample_format=sample_format)
    assert farthest(shown(file), SHOWN_GREYS) <= 1


def with_nan(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values[0, 0] = np.nan
    return values


@pytest.mark.parametrize("white_is_zero", [False, True])
def test_unsigned_integers_of_32_bits(*, white_is_zero: bool) -> None:
    stored = (255 - GREY if white_is_zero else GREY).astype(np.uint32) * 0x01010101
    assert farthest(shown(made.tiff(stored.astype("<u4").tobytes(), 32, white_is_zero=white_is_zero)), SHOWN_GREYS) <= 1


def written(pixels: NDArray[Any], order: Literal["<", ">"], **options: Any) -> bytes:  # noqa: ANN401  (tifffile's options)
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=order) as writer:
        writer.write(pixels, metadata=None, **options)
    return file.getvalue()


HALF = np.where(np.arange(64) < 32, 255, 0).astype(np.uint8)[None, :, None].repeat(64, 0)
INK = np.dstack([255 - UP, np.zeros_like(GREY)])
PLANES: dict[str, tuple[NDArray[np.uint8], dict[str, Any], Sequence[Colour]]] = {
    "RGB": (UP, {"photometric": "rgb"}, QUADRANTS),
    "RGB and alpha": (
        np.dstack([UP, HALF]),
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
        (RED, WHITE, BLUE, WHITE),
    ),
    "RGB times alpha": (
        np.dstack([UP * (HALF > 0), HALF]),
        {"photometric": "rgb", "extrasamples": ["assocalpha"]},
        (RED, WHITE, BLUE, WHITE),
    ),
    "CMYK": (INK, {"photometric": "separated"}, QUADRANTS),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", PLANES)
def test_the_planes_of_a_tiff_keep_their_samples(order: Literal["<", ">"], *, wide: bool, name: str) -> None:
    """Pillow's own reader of uncompressed files takes half of a plane of 16 bits for a plane of 8."""
    pixels, options, wanted = PLANES[name]
    planes = np.moveaxis(pixels.astype(np.uint16) * 257 if wide else pixels, 2, 0)
    assert farthest(shown(written(planes, order, planarconfig="separate", **options)), wanted) <= 1


def test_planes_of_grey_and_alpha_are_refused() -> None:
    """Pillow would take the alpha for the grey."""
    planes = np.moveaxis(np.dstack([GREY, HALF]), 2, 0)
    file = written(planes, "<", planarconfig="separate", photometric="minisblack", extrasamples=["unassalpha"])
    with pytest.raises(NotAPicture):
        shown(file)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", ["f4", "f8"])
def test_a_compressed_tiff_of_floats(order: Literal["<", ">"], form: str) -> None:
    grey = (GREY[..., 0] / 255).astype(form)
    file = written(grey, order, photometric="minisblack", compression="lzw", predictor=True)
    assert farthest(shown(file), SHOWN_GREYS) <= 1


def test_a_palette_of_8_bits_in_a_tiff() -> None:
    """TIFF 6.0 says 16 bits. Some writers give 8, and libtiff's tools, ImageMagick and libvips take them so."""
    palette = np.zeros((3, 256), np.uint16)
    palette[:, :4] = np.array(QUADRANTS).T
    for colours in (palette, palette * 257):
        assert shown(written(INDEXES.astype(np.uint8), "<", photometric="palette", colormap=colours)) == list(QUADRANTS)


# --- the canvas of animations ---
def control(number: int, width: int, height: int, left: int, top: int) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, left, top, 1, 1, 0, 1))


def frame_data(number: int, pixels: NDArray[np.uint8]) -> bytes:
    rows = pixels.reshape(len(pixels), -1)
    return chunk(b"fdAT", struct.pack(">I", number) + zlib.compress(made.unfiltered(rows)))


STATIC = np.full_like(UP, 128)
"""The picture for viewers without APNG."""


def hidden_apng(frame: NDArray[np.uint8], left: int = 0, top: int = 0) -> bytes:
    """Return an APNG of two frames, neither of which is its static image."""
    height, width = frame.shape[:2]
    frames = (
        control(0, width, height, left, top) + frame_data(1, frame) + control(2, 64, 64, 0, 0) + frame_data(3, STATIC)
    )
    return png(STATIC, chunk(b"acTL", struct.pack(">II", 2, 0)), after=frames)


def test_a_static_image_that_is_no_frame_is_not_shown() -> None:
    assert shown(hidden_apng(UP)) == list(QUADRANTS)


def test_the_first_frame_of_an_apng_may_be_its_static_image() -> None:
    animation = chunk(b"acTL", struct.pack(">II", 2, 0)) + control(0, 64, 64, 0, 0)
    file = png(UP, animation, after=control(1, 64, 64, 0, 0) + frame_data(2, STATIC))
    assert shown(file) == list(QUADRANTS)


def test_a_frame_outside_of_the_canvas_is_not_shown() -> None:
    assert shown(hidden_apng(UP, left=1)) == [(128, 128, 128)] * 4


SMALL = np.array(Image.fromarray(UP).resize((32, 32), Image.Resampling.NEAREST))


def gif_with_a_small_frame(*, is_transparent: bool) -> bytes:
    """Return a GIF of 64 x 64 pixels whose first frame covers 32 x 32 of them, from (16, 16)."""
    file = io.BytesIO()
    image = Image.fromarray(SMALL).quantize(4)
    image.save(file, "GIF", **({"transparency": 7} if is_transparent else {}))
    frame = file.getvalue()
    start = frame.index(b"\x2c\0\0\0\0", 13 + (3 << (frame[10] & 7) + 1))
    place = struct.pack("<HH", 16, 16)
    return frame[:6] + struct.pack("<HH", 64, 64) + frame[10 : start + 1] + place + frame[start + 5 :]


def webp_with_a_small_frame(*, is_transparent: bool) -> bytes:
    """Return an animated WebP of 64 x 64 pixels whose frame covers 32 x 32 of them, from (16, 16)."""
    file = io.BytesIO()
    Image.fromarray(SMALL).save(file, "WEBP", lossless=True)
    body = file.getvalue()[12:]

    def riff(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)

    def short(*values: int) -> bytes:
        return b"".join(value.to_bytes(3, "little") for value in values)

    flags = 0x12 if is_transparent else 0x02
    parts = riff(b"VP8X", bytes([flags, 0, 0, 0]) + short(63, 63)) + riff(b"ANIM", bytes([0, 0, 255, 255, 0, 0]))
    parts += riff(b"ANMF", short(8, 8, 31, 31, 100) + b"\2" + body)
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts


SMALL_FRAMES = {
    "GIF": gif_with_a_small_frame(is_transparent=False),
    "transparent GIF": gif_with_a_small_frame(is_transparent=True),
    "WebP": webp_with_a_small_frame(is_transparent=False),
    "transparent WebP": webp_with_a_small_frame(is_transparent=True),
    "APNG": hidden_apng(SMALL, 16, 16),
}


@pytest.mark.parametrize("name", SMALL_FRAMES)
@pytest.mark.parametrize("background", [WHITE, (10, 20, 30)])
def test_outside_of_the_first_frame_is_the_background(name: str, background: Colour) -> None:
    """Browsers show nothing there: neither the colour of the palette that a GIF names, nor black."""
    pixels = image_file.read(SMALL_FRAMES[name], limits=LIMITS, background=background).pixels
    assert pixels.shape == (64, 64, 3)
    assert farthest(centres(pixels[16:48, 16:48]), QUADRANTS) <= 1
    outside = np.ones((64, 64), bool)
    outside[16:48, 16:48] = False
    assert (pixels[outside] == background).all(), f"{pixels[2, 2]} beside the frame"


def test_the_square_of_a_small_frame_is_that_of_the_canvas() -> None:
    (square,) = image_file.read_squares(SMALL_FRAMES["APNG"], (64,), limits=LIMITS).pixels
    whole = image_file.read(SMALL_FRAMES["APNG"], limits=LIMITS).pixels
    assert np.array_equal(square, whole), "the square differs from the canvas"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "GIF"])
def test_transparency_is_laid_on_the_background(kind: str) -> None:
    half = Image.fromarray(np.dstack([UP, np.full((64, 64), 255, np.uint8)]))
    half.paste((0, 0, 0, 0), (32, 0, 64, 64))
    file = io.BytesIO()
    half.save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert farthest(shown(file.getvalue(), (0, 100, 200)), (RED, (0, 100, 200), BLUE, (0, 100, 200))) <= 8
