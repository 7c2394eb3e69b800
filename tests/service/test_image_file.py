"""Which files are decoded, to which pixels, and which files are refused before a decode."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data

from models.picture_array import Pixels
from service.errors import DamagedPicture, NotAPicture, PictureTooLarge
from service.render import image_file
from service.render.image_file import ImageLimits

LIMITS = ImageLimits(source_pixels=64_000_000)
ORIENTATION = 0x0112


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401  (Pillow's options)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(blob: bytes) -> Pixels:
    return image_file.read(blob, limits=LIMITS).pixels


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (400, 300)])
def test_formats_and_sizes(photo: Image.Image, kind: str, size: tuple[int, int]) -> None:
    pixels = read(saved(photo.resize(size), kind))
    assert pixels.shape == (size[1], size[0], 3)
    assert pixels.dtype == np.uint8
    for size_px in (344, 172):
        assert image_file.square(pixels, size_px).shape == (size_px, size_px, 3)


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "F", "YCbCr"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_shows_the_same_grey(mode: str) -> None:
    expected = 255 if mode == "1" else 128
    grey = {"I;16": 128 * 257, "I;16B": 128 * 257, "F": 128.0}
    if mode in grey:
        image = Image.fromarray(np.full((20, 20), grey[mode], {"F": "<f4", "I;16B": ">u2"}.get(mode, "<u2")))
    else:
        image = Image.new("RGB", (20, 20), (expected,) * 3).convert(mode, palette=Image.Palette.ADAPTIVE)
    kind = "JPEG" if mode in {"CMYK", "YCbCr"} else "TIFF" if mode in {"F", "I;16B"} else "PNG"
    pixels = read(saved(image, kind))
    assert np.abs(pixels.astype(int) - expected).max() <= 2


def test_16_bit_grey_in_a_png() -> None:
    ramp = (np.arange(256, dtype=np.uint16) * 257)[None, :]
    assert np.array_equal(read(saved(Image.fromarray(ramp), "PNG"))[0, :, 1], np.arange(256))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(kind: str, orientation: int) -> None:
    """EXIF 2.32, tag 0x0112: the red corner must be at the top left."""
    upright = Image.new("RGB", (64, 48), "white")
    ImageDraw.Draw(upright).rectangle((0, 0, 15, 15), fill="red")
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = read(saved(stored, kind, exif=exif.tobytes()))
    assert pixels.shape == (48, 64, 3)
    assert pixels[4, 4, 0] > 200
    assert pixels[4, 4, 1] < 60
    assert (pixels[40, 60] > 240).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_transparent_pixels_become_white(kind: str) -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((0, 0, 19, 39), fill=(0, 0, 200, 255))
    pixels = read(saved(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert np.array_equal(pixels[5, 35], (255, 255, 255))
    assert np.abs(pixels[5, 5].astype(int) - (0, 0, 200)).max() <= 4


def test_half_transparent_black_is_mid_grey() -> None:
    pixels = read(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))
    assert np.abs(pixels.astype(int) - 127).max() <= 1


def test_a_transparent_colour_without_an_alpha_channel() -> None:
    """PNG tRNS (chunk) on an RGB picture."""
    pixels = read(saved(Image.new("RGB", (4, 4), (9, 9, 9)), "PNG", transparency=(9, 9, 9)))
    assert (pixels == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_decoded(kind: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    pixels = read(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert pixels[16, 16, 0] > 200
    assert pixels[16, 16, 1] < 60


def linear_light_profile() -> bytes:
    """A minimal ICC v2 profile (ICC.1:2001): the primaries of sRGB, but no gamma."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = b"linear light\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv\0\0\0\0\0\0\0\0"),
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", 132 + 12 * len(tags) - 4 + len(body), b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061) + bytes(48)
    profile = head + table + body
    return struct.pack(">I", len(profile)) + profile[4:]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_follow_the_profile(mode: str) -> None:
    """IEC 61966-2-1: half of the light is 188 of 255 in sRGB."""
    image = Image.new(mode, (8, 8), (128, 128, 128, 255)[: len(mode)])
    assert np.abs(read(saved(image, "PNG", icc_profile=linear_light_profile())).astype(int) - 188).max() <= 1


def test_a_broken_profile_is_ignored() -> None:
    image = Image.new("RGB", (8, 8), (128, 128, 128))
    assert (read(saved(image, "PNG", icc_profile=b"not a profile")) == 128).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_metadata_is_ignored(kind: str) -> None:
    image = Image.new("RGB", (8, 8), (128, 128, 128))
    pixels = read(saved(image, kind, exif=b"Exif\0\0not a directory of tags"))
    assert np.abs(pixels.astype(int) - 128).max() <= 1


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"P6 1 1 255\n\0\0\0",
        bytes(99),
    ],
)
def test_an_unknown_format_is_refused(blob: bytes) -> None:
    with pytest.raises(NotAPicture):
        read(blob)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP"])
def test_a_truncated_picture_is_damaged(photo: Image.Image, kind: str) -> None:
    whole = saved(photo, kind)
    with pytest.raises((DamagedPicture, NotAPicture)):
        read(whole[: len(whole) // 2])


def bomb(width_px: int, height_px: int) -> bytes:
    """Return a PNG that announces more pixels than it holds, so that a decode would fail as damaged."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "size", [(8001, 8000), (10_000, 10_000), (2**31 - 1, 1), (100_000, 100_000), (65_536, 1), (1, 64_000_000)]
)
def test_too_many_pixels_are_refused_before_they_are_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(PictureTooLarge):
        read(bomb(*size))


def test_a_side_may_be_as_long_as_that_of_a_jpeg() -> None:
    with pytest.raises(DamagedPicture):
        read(bomb(1, 65_535))


def test_exactly_64_megapixels_are_accepted() -> None:
    with pytest.raises(DamagedPicture):
        read(bomb(8000, 8000))


def test_a_square_of_the_right_size_is_unchanged(photo: Image.Image) -> None:
    pixels = np.asarray(photo.resize((344, 344)))
    assert np.array_equal(image_file.square(pixels, 344), pixels)


def test_the_square_is_the_centre() -> None:
    wide = np.zeros((172, 500, 3), np.uint8)
    wide[:, 164:336] = 255
    assert (image_file.square(wide, 172) == 255).all()
    assert (image_file.square(wide.transpose(1, 0, 2), 172) == 255).all()


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/webp", "image/avif", "image/png"])
def test_encoded_files_have_their_media_type(photo: Image.Image, media_type: str) -> None:
    pixels = image_file.square(np.asarray(photo), 172)
    blob = image_file.write(pixels, media_type)
    with Image.open(io.BytesIO(blob)) as image:
        assert Image.MIME[str(image.format)] == media_type
    error = np.abs(read(blob).astype(int) - pixels).mean()
    assert error == 0 if media_type == "image/png" else error < 6


def test_conventional_bytes_are_those_of_a_jpeg_of_quality_80(photo: Image.Image) -> None:
    pixels = image_file.square(np.asarray(photo), 344)
    assert image_file.conventional_bytes(pixels) == len(saved(Image.fromarray(pixels), "JPEG", quality=80))
