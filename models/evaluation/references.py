"""Reference pictures: the originals, at 344 and at 172 px, with which decoded pictures are compared.

A reference is the centre square of the source, resized **once** from the source to the wanted size by LANCZOS. The 172
reference is not made from the 344 one, because that would favour codecs that decode to 344 first.
"""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

_SUFFIXES = frozenset({".avif", ".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

# What Pillow raises for a file that is damaged, of an unknown format, too large, or with a broken colour profile.
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, MemoryError),
    *(NotImplementedError, struct.error, zlib.error, Image.DecompressionBombError, ImageCms.PyCMSError),
)


PictureFile: TypeAlias = Path | zipfile.Path
"""The path of a picture on disk, or of a picture inside a zip file."""


class ReferencePictureError(Exception):
    """A folder has no pictures, or a file cannot be read as a picture."""


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """Return the picture files below `folder`, sorted by path. Raises `ReferencePictureError` where there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not found:
        raise ReferencePictureError(f"there are no pictures in {folder}")
    return tuple(found)


def reference(path: PictureFile, size_px: int) -> NDArray[np.uint8]:
    """Read a picture and return its reference (size_px, size_px, 3) in sRGB.

    A square picture of that size is not resized. Raises `ReferencePictureError`.
    """
    try:
        with path.open("rb") as file, Image.open(file) as opened:
            upright = ImageOps.exif_transpose(opened)
            return resize(_square(_srgb(upright)), size_px)
    except UNREADABLE as error:
        raise ReferencePictureError(f"cannot read {path} as a picture: {error}") from error


def resize(picture: Image.Image | NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    if image.size != (size_px, size_px):
        image = image.resize((size_px, size_px), Image.Resampling.LANCZOS)
    return np.array(image, dtype=np.uint8)  # a writable copy, as torch.from_numpy requires


def _square(image: Image.Image) -> Image.Image:
    width_px, height_px = image.size
    side_px = min(width_px, height_px)
    left, top = (width_px - side_px) // 2, (height_px - side_px) // 2
    return image.crop((left, top, left + side_px, top + side_px))


def _srgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    profile = image.info.get("icc_profile")
    if profile and image.mode == "RGB":
        converted = ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        return converted or image
    return image.convert("RGB")
