"""Reference pictures: what every codec has to reproduce, at each size that we serve.

A reference is the centre square of the source, resized **once** from the source to the wanted size (LANCZOS). The 172
reference is not made from the 344 one, which would favour codecs that decode 344 first.
"""

import io
import zipfile
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

_SUFFIXES = frozenset({".avif", ".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

# Raised by Pillow for files that are damaged, foreign, absurdly large or have a broken colour profile.
UNREADABLE = (OSError, SyntaxError, Image.DecompressionBombError, ImageCms.PyCMSError)


PictureFile: TypeAlias = Path | zipfile.Path
"""A picture on disk, or a member of a zip file."""


class ReferencePictureError(Exception):
    """A folder has no pictures, or a file is not a readable picture."""


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """Return the pictures below a folder, in the order of their names."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not found:
        raise ReferencePictureError(f"no pictures in {folder}")
    return tuple(found)


def reference(path: PictureFile, size_px: int) -> NDArray[np.uint8]:
    """Return the reference (size, size, 3) sRGB; a picture of that size is returned unchanged."""
    try:
        with path.open("rb") as file, Image.open(file) as opened:
            upright = ImageOps.exif_transpose(opened)
            return resize(_square(_srgb(upright)), size_px)
    except UNREADABLE as error:
        raise ReferencePictureError(f"cannot read {path}: {error}") from error


def resize(picture: Image.Image | NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    if image.size != (size_px, size_px):
        image = image.resize((size_px, size_px), Image.Resampling.LANCZOS)
    return np.array(image, dtype=np.uint8)  # a copy, because torch needs writable memory


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
