"""Picture files <-> pixels. The only importer of Pillow; knows nothing of where files come from.

Read: what a browser would show of the first frame, upright, in sRGB, on white. Content is sniffed, never believed, and
the number of pixels is known before any is decoded.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

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


def read(blob: bytes, *, limits: ImageLimits) -> SourceImage:
    """Decode a file. Raises NotAPicture, PictureTooLarge or DamagedPicture."""
    with _opened(blob) as image:
        width_px, height_px = image.size
        if width_px * height_px > limits.source_pixels:
            raise PictureTooLarge(f"{width_px} x {height_px} pixels")
        try:
            image.load()
            return SourceImage(np.asarray(_srgb(_upright(image))), _media_type(str(image.format)))
        except MemoryError as error:
            raise PictureTooLarge("out of memory") from error
        except Exception as error:  # the decoders raise whatever a broken file makes them trip over
            raise DamagedPicture(f"{type(error).__name__}: {error}") from error


def square(pixels: Pixels, size_px: int) -> Pixels:
    """The centre square, resized once; one of this size already is returned as it is."""
    height_px, width_px = pixels.shape[:2]
    side_px = min(height_px, width_px)
    top, left = (height_px - side_px) // 2, (width_px - side_px) // 2
    crop = pixels[top : top + side_px, left : left + side_px]
    if side_px == size_px:
        return np.array(crop)
    resized = Image.fromarray(np.ascontiguousarray(crop)).resize((size_px, size_px), Image.Resampling.LANCZOS)
    return np.array(resized)  # a copy: what Pillow hands out is read-only


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


def _opened(blob: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(blob), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise NotAPicture("no known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureTooLarge(str(error)) from error
    except Exception as error:  # a known signature, then nonsense
        raise DamagedPicture(f"{type(error).__name__}: {error}") from error


def _upright(image: Image.Image) -> Image.Image:
    # Pillow's own exif_transpose also writes the metadata anew, and trips over what cannot be written.
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001  (the metadata is broken, not the picture: browsers show it as it is stored)
        return image
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode in {"I", "F"} or image.mode.startswith("I;"):
        image = _eight_bits(image)
    if image.mode in {"1", "P", "PA", "LA", "La", "RGBa"} or image.has_transparency_data:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "RGBA":
        alpha = image.getchannel("A")
        opaque = _converted(image.convert("RGB"), profile)
        opaque.putalpha(alpha)
        return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), opaque).convert("RGB")
    return _converted(image, profile)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits. Pillow's own conversion clips at 255."""
    values = np.asarray(image).astype(np.float64)
    if image.mode.startswith("I;16") or values.max(initial=0) > 255:  # noqa: PLR2004  (the largest value of 8 bits)
        values = values / BAND
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
