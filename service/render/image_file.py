"""Picture files <-> pixels. The only importer of Pillow; knows nothing of where files come from.

Read: what a browser would show of the first frame, upright, in sRGB, on white. Content is sniffed, never believed, and
the number of pixels is known before any is decoded. How long decoding takes cannot be bounded here: see `source_child`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from models.picture_array import Pixels
from service.errors import DamagedPicture, NotAPicture, PictureTooLarge

# Formats that browsers show and cameras write. Pillow knows many more, and each is a decoder exposed to the origin.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
WHITE = (255, 255, 255, 255)
BAND = 257
"""65535 / 255: what a step of 8 bits is in 16."""

# EXIF 2.32, tag 0x0112: what undoes each orientation.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

SIDE_CAP_PX = 65_535
"""What JPEG can say. Browsers show nothing longer, and Pillow takes 88 bytes for each row of one pixel (measured)."""
REDUCING_GAP = 4
"""A picture may be reduced fast to so many times its size before it is resized: 54 dB from doing without (measured)."""
STRIP_PX = 2**22
"""What is converted at a time: large pictures are in memory twice at most, and small ones are one strip."""
USUAL_SCANS = 10
"""Assumed: a progressive JPEG has up to 10. Each goes over all pixels again, and a file has room for 100,000."""

CONVENTIONAL_QUALITY = 80
"""JPEG quality of the files that a conventional edge would keep: the yardstick of the bytes saved."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest picture that is decoded."""

    source_pixels: int


@dataclass(frozen=True, slots=True)
class SourceImage:
    """A picture as pixels: (height, width, 3), sRGB, upright."""

    pixels: Pixels
    media_type: str
    """What the file is, whatever it was said to be."""


@dataclass(frozen=True, slots=True)
class Squares:
    """The centre square of a picture in several sizes."""

    pixels: tuple[Pixels, ...]
    media_type: str


def work_px(blob: bytes, *, limits: ImageLimits) -> int:
    """Return how much work it may be to read a file, as a number of pixels. Decodes nothing; raises as `read` does."""
    with _opened(blob, limits) as image:
        width_px, height_px = image.size
        scans = blob.count(b"\xff\xda") if image.format in {"JPEG", "MPO"} else 1
        return max(width_px * height_px * -(-scans // USUAL_SCANS), len(blob))


def read(blob: bytes, *, limits: ImageLimits) -> SourceImage:
    """Decode a file. Raises NotAPicture, PictureTooLarge or DamagedPicture."""
    with _opened(blob, limits) as image, _translated():
        image.load()
        rgb = _rgb(image, (0, 0, *image.size))
        return SourceImage(np.asarray(_upright(rgb, image)), _media_type(str(image.format)))


def read_squares(blob: bytes, sizes_px: Sequence[int], *, limits: ImageLimits) -> Squares:
    """Decode no more of a file than its centre square in these sizes takes. Raises as `read` does."""
    least_px = REDUCING_GAP * max(sizes_px)
    with _opened(blob, limits) as image, _translated():
        image.draft(None, (least_px, least_px))  # a JPEG is decoded at 1/2, 1/4 or 1/8; other formats ignore it
        image.load()
        square = _upright(_rgb(image, _centre(*image.size)), image)
        pixels = tuple(np.array(_resized(square, size_px)) for size_px in sizes_px)
        return Squares(pixels, _media_type(str(image.format)))


def square(pixels: Pixels, size_px: int) -> Pixels:
    """The centre square, resized once; one of this size already is returned as it is."""
    height_px, width_px = pixels.shape[:2]
    left, top, right, bottom = _centre(width_px, height_px)
    crop = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    return np.array(_resized(crop, size_px))  # a copy: what Pillow hands out is read-only


def write(pixels: Pixels, media_type: str, quality: int | None = None) -> bytes:
    """Encode a file. The defaults are the fastest settings of each format that look good at these sizes."""
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    match media_type:
        case "image/jpeg":
            image.save(file, "JPEG", quality=85 if quality is None else quality)
        case "image/webp":
            image.save(file, "WEBP", quality=80 if quality is None else quality, method=0)
        case "image/avif":
            image.save(file, "AVIF", quality=60 if quality is None else quality, speed=9, max_threads=1)
        case "image/png":
            image.save(file, "PNG", compress_level=3)
        case _:
            raise ValueError(media_type)
    return file.getvalue()


def conventional_bytes(pixels: Pixels) -> int:
    """What a conventional edge would keep for this rendition."""
    return len(write(pixels, "image/jpeg", CONVENTIONAL_QUALITY))


def _media_type(kind: str) -> str:
    # Pillow tells JPEG files that hold several pictures (MPO) from others; browsers show the first of them.
    return Image.MIME["JPEG" if kind == "MPO" else kind]


def _opened(blob: bytes, limits: ImageLimits) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(blob), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise NotAPicture("no known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise PictureTooLarge(str(error)) from error
    except Exception as error:  # a known signature, then nonsense
        raise DamagedPicture(f"{type(error).__name__}: {error}") from error
    width_px, height_px = image.size
    if width_px * height_px > limits.source_pixels or max(image.size) > SIDE_CAP_PX:
        image.close()
        raise PictureTooLarge(f"{width_px} x {height_px} pixels")
    return image


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise PictureTooLarge("out of memory") from error
    except Exception as error:  # the decoders raise whatever a broken file makes them trip over
        raise DamagedPicture(f"{type(error).__name__}: {error}") from error


def _centre(width_px: int, height_px: int) -> tuple[int, int, int, int]:
    side_px = min(height_px, width_px)
    left, top = (width_px - side_px) // 2, (height_px - side_px) // 2
    return left, top, left + side_px, top + side_px


def _resized(square: Image.Image, size_px: int) -> Image.Image:
    if square.size == (size_px, size_px):
        return square
    return square.resize((size_px, size_px), Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)


def _upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    """Turn pixels of a file as the file says."""
    # Pillow's own exif_transpose also writes the metadata anew, and trips over what cannot be written.
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001  (the metadata is broken, not the picture: browsers show it as it is stored)
        return pixels
    return pixels.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else pixels


def _rgb(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Return a part of a picture in sRGB. It is converted strip by strip, as intermediate steps take much memory."""
    left, top, right, bottom = box
    unit = _unit(image)
    rows = max(1, STRIP_PX // (right - left))
    if rows >= bottom - top:
        return _srgb(image.crop(box), unit)
    rgb = Image.new("RGB", (right - left, bottom - top))
    for y in range(top, bottom, rows):
        rgb.paste(_srgb(image.crop((left, y, right, min(y + rows, bottom))), unit), (0, y - top))
    return rgb


def _srgb(image: Image.Image, unit: float) -> Image.Image:
    profile = image.info.get("icc_profile")
    if _is_wide(image):
        image = _eight_bits(image, unit)
    if image.mode in {"1", "P", "PA", "LA", "La", "RGBa"} or image.has_transparency_data:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        opaque = _converted(image.convert("RGB"), profile)
        opaque.putalpha(alpha)
        return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), opaque).convert("RGB")
    return _converted(image, profile)


def _is_wide(image: Image.Image) -> bool:
    return image.mode in {"I", "F"} or image.mode.startswith("I;")


def _unit(image: Image.Image) -> float:
    """Return what one step of 8 bits is in this picture, whose values may have more."""
    if image.mode in {"I", "F"}:
        _, largest = cast("tuple[float, float]", image.getextrema())
        return BAND if largest > 255 else 1  # noqa: PLR2004  (the largest value of 8 bits)
    return BAND


def _eight_bits(image: Image.Image, unit: float) -> Image.Image:
    """Grey of more than 8 bits. Pillow's own conversion clips at 255."""
    values = np.asarray(image).astype(np.float64) / unit
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _converted(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            return _by_profile(image, profile)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile, or one for other channels: the picture is shown as browsers show it, without
    return image.convert("RGB")


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if "srgb" in ImageCms.getProfileDescription(source).lower():
        return image.convert("RGB")
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # only an in-place conversion returns nothing
    return converted
