"""Decode picture files to pixels with Pillow, and encode pixels to files. No I/O.

A file is decoded to its first frame as a browser shows it: upright, in sRGB, on a background. This module cannot limit
the time of opening or decoding a file: `decoding_work` estimates the work, and `source_child` decodes in a process with
limits.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from models.config import HIGH_PX
from models.picture_array import Pixels
from service.errors import DamagedPicture, PictureTooLarge
from service.render.exif_orientation import find_orientation
from service.render.opened_picture import open_picture
from service.render.png_file import drop_checksum
from service.render.shown_part import WHITE, Colour, crop_to_srgb

Picture = TypeVar("Picture")

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

REDUCING_GAP = 4
"""Pillow may shrink a picture by a fast box filter to this multiple of the target size before it resizes it exactly.

The result differs from an exact resize by a PSNR of 54 dB (measured).
"""

CONVENTIONAL_QUALITY = 80
"""The JPEG quality of the files that a conventional edge would store. The metrics compare latents with such files."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The limits of a source picture that is decoded."""

    source_pixels: int
    """The maximum number of pixels, width times height."""


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


def read(blob: bytes, *, limits: ImageLimits, background: Colour = WHITE) -> SourceImage:
    """Decode a file to its whole picture. Raises NotAPicture, PictureTooLarge or DamagedPicture."""

    def decode(file: bytes) -> SourceImage:
        opened = open_picture(file, limits.source_pixels)
        with opened.image as image, _translate_errors():
            image.load()
            rgb = crop_to_srgb(opened, (0, 0, *opened.canvas_px), background)
            return SourceImage(np.asarray(_turn_upright(rgb, image)), _media_type(str(image.format)))

    return _try_twice(decode, blob)


def read_squares(blob: bytes, sizes_px: Sequence[int], *, limits: ImageLimits, background: Colour = WHITE) -> Squares:
    """Decode a file, and return the centre square of its picture in each of `sizes_px`.

    A large JPEG is decoded at a reduced scale. Raises NotAPicture, PictureTooLarge or DamagedPicture.
    """
    least_px = REDUCING_GAP * max(sizes_px)

    def decode(file: bytes) -> Squares:
        opened = open_picture(file, limits.source_pixels)
        with opened.image as image, _translate_errors():
            image.draft(None, (least_px, least_px))  # a large JPEG is then decoded at 1/2, 1/4 or 1/8 of its size
            image.load()
            square = _turn_upright(crop_to_srgb(opened, _centre_box(*opened.canvas_px), background), image)
            pixels = tuple(np.array(_resize(square, size_px)) for size_px in sizes_px)
            return Squares(pixels, _media_type(str(image.format)))

    return _try_twice(decode, blob)


def _try_twice(decode: Callable[[bytes], Picture], blob: bytes) -> Picture:
    """Decode a file. If it is a damaged PNG whose chunks are intact, decode it without the checksum of its pixels."""
    try:
        return decode(blob)
    except DamagedPicture:
        file = drop_checksum(blob)
        if file is None:
            raise
        return decode(file)


def square(pixels: Pixels, size_px: int) -> Pixels:
    """Return the centre square of pixels (height, width, 3), resized to (size_px, size_px, 3) if necessary."""
    height_px, width_px = pixels.shape[:2]
    left, top, right, bottom = _centre_box(width_px, height_px)
    crop = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    return np.array(_resize(crop, size_px))  # a copy, since arrays from Pillow are read-only


def write(pixels: Pixels, media_type: str, quality: int | None = None, *, is_screen: bool = False) -> bytes:
    """Encode pixels as a picture file of this media type. Raises ValueError for a media type that the edge lacks.

    `quality` defaults to one that looks good at 172 and 344 px with the fastest settings of the format. `is_screen`
    keeps the colours of thin lines sharp: JPEG and AVIF have as many samples of colour as of light (4:4:4), and a WebP
    of 344 px is lossless, which takes about the same bytes and 2 ms more (measured).
    """
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    colours = {"subsampling": "4:4:4"} if is_screen else {}
    match media_type:
        case "image/jpeg":
            image.save(file, "JPEG", quality=85 if quality is None else quality, **colours)
        case "image/webp" if is_screen and len(pixels) == HIGH_PX:
            image.save(file, "WEBP", lossless=True, exact=True, quality=25, method=1)
        case "image/webp":
            image.save(file, "WEBP", quality=80 if quality is None else quality, method=0)
        case "image/avif":
            image.save(file, "AVIF", quality=60 if quality is None else quality, speed=9, max_threads=1, **colours)
        case "image/png":
            image.save(file, "PNG", compress_level=3)
        case _:
            raise ValueError(f"pictures cannot be written as {media_type}; only as JPEG, WebP, AVIF or PNG")
    return file.getvalue()


def write_like_screen(pixels: Pixels, media_type: str) -> bytes:
    """Encode the source's pixels of a picture that may be stored as a screen stream, as `write` does with `is_screen`.

    A WebP is lossless only if that takes at most 2.5 times the bytes of a lossy one. Measured: this holds for all
    screen streams of the tests and for no photograph, of which some look like a screen because of their flat grounds.
    """
    file = write(pixels, media_type, is_screen=True)
    if media_type != "image/webp" or len(pixels) != HIGH_PX:
        return file
    lossy = write(pixels, media_type)
    return file if 2 * len(file) <= 5 * len(lossy) else lossy


def conventional_bytes(pixels: Pixels) -> int:
    """Return the size in bytes of the JPEG file that a conventional edge would store for these pixels."""
    return len(write(pixels, "image/jpeg", CONVENTIONAL_QUALITY))


def _media_type(kind: str) -> str:
    # Pillow has a format of its own, MPO, for JPEG files with several pictures. Browsers show the first one.
    return Image.MIME["JPEG" if kind == "MPO" else kind]


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
    orientation = _find_orientation(image)
    return pixels.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else pixels


def _find_orientation(image: Image.Image) -> int | None:
    """Return the orientation in the EXIF of a file. Pillow's own functions also look into XMP, which browsers do not.

    Pillow has already turned a TIFF, and an AVIF has the orientation of its boxes as EXIF.
    """
    exif = image.info.get("exif")
    return find_orientation(exif or _read_raw_exif(image.info.get("Raw profile type exif", "")))


def _read_raw_exif(text: str) -> bytes:
    """Return the bytes of a text chunk of ImageMagick: an empty line, a name, a length and hexadecimal digits."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""
