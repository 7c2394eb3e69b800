"""List the photographs of a training, and read one of them at one scale.

Photographs are in folders or in packs (photograph_pack.py), which are zip files of pictures.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from models.evaluation.references import UNREADABLE, ReferencePictureError, pictures_in

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from models.evaluation.references import PictureFile

_LONG_TO_SHORT = 1.5
"""Largest aspect ratio: of a longer picture the centre is cut out at this ratio."""


@dataclass(frozen=True)
class Photograph:
    """A photograph at one scale (3, H, W), and resized to half of it by LANCZOS (3, H/2, W/2), both in uint8."""

    pixels: Tensor
    half: Tensor


def training_files(source: Path) -> tuple[PictureFile, ...]:
    """Return the picture files in a folder or in a pack, sorted by name.

    If the folder has a subfolder DIV2K_train_HR, as the DIV2K data set has, only that is searched. Raises
    `ReferencePictureError` where there are no pictures, or where a pack is not a zip file.
    """
    if source.is_file():
        return _members(source)
    div2k = source / "DIV2K_train_HR"
    return pictures_in(div2k if div2k.is_dir() else source)


def _members(pack: Path) -> tuple[zipfile.Path, ...]:
    try:
        archive = zipfile.ZipFile(pack)
    except (OSError, zipfile.BadZipFile) as error:
        raise ReferencePictureError(f"{pack} is not a readable pack (zip file) of photographs: {error}") from error
    names = sorted(name for name in archive.namelist() if not name.endswith("/"))
    if not names:
        raise ReferencePictureError(f"there are no pictures in the pack {pack}")
    return tuple(zipfile.Path(archive, name) for name in names)


def read_picture(file: PictureFile, *, short_side_px: int) -> Image.Image:
    """Return the picture resized to a short side of `short_side_px`, and an even long side.

    A long side of more than 1.5 times the short side is cropped around the centre. Raises `ReferencePictureError` where
    the file cannot be read.
    """
    try:
        with file.open("rb") as opened, Image.open(opened) as image:
            rgb = image.convert("RGB")
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise ReferencePictureError(f"cannot read {file} as a picture: {error}") from error
    scale = short_side_px / min(rgb.size)
    long_px = round(min(_LONG_TO_SHORT * short_side_px, max(rgb.size) * scale)) // 2 * 2
    size = (short_side_px, long_px) if rgb.width <= rgb.height else (long_px, short_side_px)
    width, height = size[0] / scale, size[1] / scale
    left, top = max(0.0, (rgb.width - width) / 2), max(0.0, (rgb.height - height) / 2)
    box = (left, top, min(rgb.width, left + width), min(rgb.height, top + height))
    return rgb.resize(size, Image.Resampling.LANCZOS, box=box)


def read_photograph(file: PictureFile, *, short_side_px: int) -> Photograph:
    """Read a picture at one scale (see `read_picture`), and resize it to half of that too."""
    whole = read_picture(file, short_side_px=short_side_px)
    half = whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.LANCZOS)
    return Photograph(_tensor(np.asarray(whole)), _tensor(np.asarray(half)))


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()
