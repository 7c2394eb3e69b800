"""Read one photograph at one scale.

Photographs come from folders of pictures or from packs (photograph_pack.py), which are zip files of pictures.
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
"""Aspect ratio to which longer pictures are cropped, around the centre."""


@dataclass(frozen=True)
class Photograph:
    """One picture at one scale: (3, H, W) uint8, and its LANCZOS half (3, H/2, W/2)."""

    pixels: Tensor
    half: Tensor


def training_files(source: Path) -> tuple[PictureFile, ...]:
    """Return the pictures in a folder or a pack; of DIV2K's own layout only those in DIV2K_train_HR.

    Raises `ReferencePictureError` where there are none, or where the pack is not a zip file.
    """
    if source.is_file():
        return _members(source)
    div2k = source / "DIV2K_train_HR"
    return pictures_in(div2k if div2k.is_dir() else source)


def _members(pack: Path) -> tuple[zipfile.Path, ...]:
    try:
        archive = zipfile.ZipFile(pack)
    except (OSError, zipfile.BadZipFile) as error:
        raise ReferencePictureError(f"{pack} is not a pack of photographs: {error}") from error
    names = sorted(name for name in archive.namelist() if not name.endswith("/"))
    if not names:
        raise ReferencePictureError(f"no pictures in {pack}")
    return tuple(zipfile.Path(archive, name) for name in names)


def read_picture(file: PictureFile, *, short_side_px: int) -> Image.Image:
    """Return the picture scaled to this short side, with even sides and the long side cropped at the centre.

    Raises `ReferencePictureError` where it cannot be read.
    """
    try:
        with file.open("rb") as opened, Image.open(opened) as image:
            rgb = image.convert("RGB")
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise ReferencePictureError(f"cannot read {file}: {error}") from error
    scale = short_side_px / min(rgb.size)
    long_px = round(min(_LONG_TO_SHORT * short_side_px, max(rgb.size) * scale)) // 2 * 2
    size = (short_side_px, long_px) if rgb.width <= rgb.height else (long_px, short_side_px)
    width, height = size[0] / scale, size[1] / scale
    left, top = max(0.0, (rgb.width - width) / 2), max(0.0, (rgb.height - height) / 2)
    box = (left, top, min(rgb.width, left + width), min(rgb.height, top + height))
    return rgb.resize(size, Image.Resampling.LANCZOS, box=box)


def read_photograph(file: PictureFile, *, short_side_px: int) -> Photograph:
    """Return the picture at one scale, and its half."""
    whole = read_picture(file, short_side_px=short_side_px)
    half = whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.LANCZOS)
    return Photograph(_tensor(np.asarray(whole)), _tensor(np.asarray(half)))


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()
