"""Decode picture files to pixels with Pillow, and encode pixels to files. No I/O.

A file is decoded to its first frame as a browser shows it: upright, in sRGB, on white. The format is found from the
first bytes, and the number of pixels is checked before any is decoded. This module cannot limit the time of opening or
decoding a file: `decoding_work` estimates the work, and `source_child` decodes in a process with limits.
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

# The formats that browsers show and cameras write. Pillow has many more, and each decoder is an attack surface.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
WHITE = (255, 255, 255, 255)
BAND = 257
"""The 16-bit value of one 8-bit step: 65535 / 255."""

# EXIF 2.32, tag 0x0112: the operation that undoes each orientation.
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
"""The longest width or height that is accepted, as in JPEG. Pillow takes 88 bytes per row of a picture (measured)."""
REDUCING_GAP = 4
"""Pillow may shrink a picture by a fast box filter to this multiple of the target size before it resizes it exactly.

The result differs from an exact resize by a PSNR of 54 dB (measured).
"""
EXIF_CAP_BYTES = 2**16
"""The longest EXIF metadata that is read: one JPEG segment (EXIF 2.32, 4.5.4).

The time of reading may grow with the square of the length, because all entries may point to the same bytes.
"""
STRIP_PX = 2**22
"""The most pixels that are converted to sRGB at a time, so that a large picture is in memory at most twice."""

CONVENTIONAL_QUALITY = 80
"""The JPEG quality of the files that a conventional edge would store. The metrics compare latents with such files."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The limits of a source picture that is decoded."""

    source_pixels: int
    """The most pixels, width times height."""


@dataclass(frozen=True, slots=True)
class SourceImage:
    """The whole decoded picture of a source file."""

    pixels: Pixels
    """(height, width, 3), uint8, sRGB, upright."""
    media_type: str
    """The media type that was found in the bytes of the file."""


@dataclass(frozen=True, slots=True)
class Squares:
    """The centre square of a picture in several sizes."""

    pixels: tuple[Pixels, ...]
    """One (size_px, size_px, 3) array for each size, uint8, sRGB, upright."""
    media_type: str
    """The media type that was found in the bytes of the file."""


def read(blob: bytes, *, limits: ImageLimits) -> SourceImage:
    """Decode a file to its whole picture. Raises NotAPicture, PictureTooLarge or DamagedPicture."""
    with _open(blob, limits) as image, _translate_errors():
        image.load()
        rgb = _crop_to_srgb(image, (0, 0, *image.size))
        return SourceImage(np.asarray(_turn_upright(rgb, image)), _media_type(str(image.format)))


def read_squares(blob: bytes, sizes_px: Sequence[int], *, limits: ImageLimits) -> Squares:
    """Decode a file, and return the centre square of its picture in each of `sizes_px`.

    A large JPEG is decoded at a reduced scale. Raises NotAPicture, PictureTooLarge or DamagedPicture.
    """
    least_px = REDUCING_GAP * max(sizes_px)
    with _open(blob, limits) as image, _translate_errors():
        image.draft(None, (least_px, least_px))  # a large JPEG is then decoded at 1/2, 1/4 or 1/8 of its size
        image.load()
        square = _turn_upright(_crop_to_srgb(image, _centre_box(*image.size)), image)
        pixels = tuple(np.array(_resize(square, size_px)) for size_px in sizes_px)
        return Squares(pixels, _media_type(str(image.format)))


def square(pixels: Pixels, size_px: int) -> Pixels:
    """Return the centre square of pixels (height, width, 3), resized to (size_px, size_px, 3) if necessary."""
    height_px, width_px = pixels.shape[:2]
    left, top, right, bottom = _centre_box(width_px, height_px)
    crop = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    return np.array(_resize(crop, size_px))  # a copy, since arrays from Pillow are read-only


def write(pixels: Pixels, media_type: str, quality: int | None = None) -> bytes:
    """Encode pixels as a picture file of this media type. Raises ValueError for a media type that the edge lacks.

    `quality` defaults to one that looks good at 172 and 344 px with the fastest settings of the format.
    """
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
            raise ValueError(f"pictures cannot be written as {media_type}; only as JPEG, WebP, AVIF or PNG")
    return file.getvalue()


def conventional_bytes(pixels: Pixels) -> int:
    """Return the size in bytes of the JPEG file that a conventional edge would store for these pixels."""
    return len(write(pixels, "image/jpeg", CONVENTIONAL_QUALITY))


def _media_type(kind: str) -> str:
    # Pillow has a format of its own, MPO, for JPEG files with several pictures. Browsers show the first one.
    return Image.MIME["JPEG" if kind == "MPO" else kind]


def _open(blob: bytes, limits: ImageLimits) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(blob), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise NotAPicture(f"the file is in none of the known picture formats, {', '.join(FORMATS)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise PictureTooLarge(f"the picture is too large to be opened: {error}") from error
    except Exception as error:  # the file has a known signature, but an invalid header
        raise DamagedPicture(f"the header of the picture cannot be read: {type(error).__name__}: {error}") from error
    width_px, height_px = image.size
    if width_px * height_px > limits.source_pixels or max(image.size) > SIDE_CAP_PX:
        image.close()
        raise PictureTooLarge(
            f"the picture has {width_px} x {height_px} pixels; at most {limits.source_pixels} pixels and sides of "
            f"at most {SIDE_CAP_PX} are accepted"
        )
    return image


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise PictureTooLarge("the process ran out of memory while it decoded the picture") from error
    except Exception as error:  # decoders may raise any exception on a damaged file
        raise DamagedPicture(f"the picture cannot be decoded: {type(error).__name__}: {error}") from error


def _centre_box(width_px: int, height_px: int) -> tuple[int, int, int, int]:
    side_px = min(height_px, width_px)
    left, top = (width_px - side_px) // 2, (height_px - side_px) // 2
    return left, top, left + side_px, top + side_px


def _resize(square: Image.Image, size_px: int) -> Image.Image:
    if square.size == (size_px, size_px):
        return square
    return square.resize((size_px, size_px), Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)


def _turn_upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    """Rotate and flip pixels as the EXIF orientation of the file says."""
    # Pillow's exif_transpose also rewrites the metadata, and fails if it cannot be written.
    if len(image.info.get("exif") or image.info.get("Raw profile type exif") or b"") > EXIF_CAP_BYTES:
        return pixels
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001  (only the metadata is damaged; browsers then show the picture as it is stored)
        return pixels
    return pixels.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else pixels


def _crop_to_srgb(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Return the part of a picture inside `box` in sRGB, converted in strips to save memory in between."""
    left, top, right, bottom = box
    unit = _find_unit(image)
    rows = max(1, STRIP_PX // (right - left))
    if rows >= bottom - top:
        return _flatten_to_srgb(image.crop(box), unit)
    rgb = Image.new("RGB", (right - left, bottom - top))
    for y in range(top, bottom, rows):
        rgb.paste(_flatten_to_srgb(image.crop((left, y, right, min(y + rows, bottom))), unit), (0, y - top))
    return rgb


def _flatten_to_srgb(image: Image.Image, unit: float) -> Image.Image:
    profile = image.info.get("icc_profile")
    if _is_wide(image):
        image = _reduce_to_8_bits(image, unit)
    if image.mode in {"1", "P", "PA", "LA", "La", "RGBa"} or image.has_transparency_data:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        opaque = _convert_profile(image.convert("RGB"), profile)
        opaque.putalpha(alpha)
        return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), opaque).convert("RGB")
    return _convert_profile(image, profile)


def _is_wide(image: Image.Image) -> bool:
    return image.mode in {"I", "F"} or image.mode.startswith("I;")


def _find_unit(image: Image.Image) -> float:
    """Return by how much pixel values differ in one 8-bit step: by BAND for 16-bit values, by 1 for 8-bit values."""
    if image.mode in {"I", "F"}:
        _, largest = cast("tuple[float, float]", image.getextrema())
        return BAND if largest > 255 else 1  # noqa: PLR2004  (the largest value of 8 bits)
    return BAND


def _reduce_to_8_bits(image: Image.Image, unit: float) -> Image.Image:
    """Scale a grey picture of more than 8 bits to 8 bits. Pillow's own conversion would clip values at 255."""
    values = np.asarray(image).astype(np.float64) / unit
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _convert_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            return _apply_profile(image, profile)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # the profile is damaged, or made for other channels; browsers ignore such a profile
    return image.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if "srgb" in ImageCms.getProfileDescription(source).lower():
        return image.convert("RGB")
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # profileToProfile returns None only if it converts a picture in place
    return converted
