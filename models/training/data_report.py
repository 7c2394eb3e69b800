"""Check what a folder, a DIV2K tree or a pack offers a training: formats, sizes, unreadable files, duplicates.

The check changes nothing. `check_data` decodes every picture once, as a training does, and computes its perceptual
hash: the signs of the lowest frequencies of an 8-bit grey copy (pHash). Two pictures whose hashes differ in few bits
look alike.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import imagehash
import numpy as np
from PIL import Image

from models.config import HIGH_PX
from models.evaluation.references import UNREADABLE, ReferencePictureError, pictures_in
from models.training.dataset import available_cores
from models.training.picture_file import training_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.evaluation.references import PictureFile

_ALIKE_BITS = 4
"""Two pictures are duplicates if at most this many of the 64 bits of their hashes differ (assumed)."""
_SIDES_PX = (172, HIGH_PX, 512, 1024, 2048)
"""Limits of the histogram's bins, for the shorter side of a picture."""
_DIV2K_SETS = ("train", "valid")
_DIV2K_KINDS = {
    "HR": "high resolution",
    "LR_bicubic": "low resolution, bicubic",
    "LR_unknown": "low resolution, unknown operators",
}
_DIV2K_SCALES = ("X2", "X3", "X4")


@dataclass(frozen=True)
class ReadPicture:
    """The properties of one file. `fault` says why it cannot be read; it is None if it can be read."""

    file: PictureFile
    format: str = ""
    width_px: int = 0
    height_px: int = 0
    fingerprint: int = 0
    fault: str | None = None


@dataclass(frozen=True)
class Div2kPart:
    """One part of a DIV2K tree, such as the bicubic pictures of scale X2 of the training set."""

    folder: str
    meaning: str
    pictures: int


@dataclass(frozen=True)
class DataReport:
    """The findings of a check. Its pictures are the ones that a training would read."""

    parts: tuple[Div2kPart, ...]
    pictures: tuple[ReadPicture, ...]
    duplicates: tuple[tuple[str, ...], ...]
    """Groups of files that look alike, each in the order of their names."""

    @property
    def usable(self) -> tuple[ReadPicture, ...]:
        """Return the pictures that a training can read."""
        return tuple(one for one in self.pictures if one.fault is None)

    @property
    def unreadable(self) -> tuple[ReadPicture, ...]:
        """Return the files that cannot be read."""
        return tuple(one for one in self.pictures if one.fault is not None)

    def formats(self) -> Counter[str]:
        """Return how many usable pictures each format has."""
        return Counter(one.format for one in self.usable)

    def sizes(self) -> list[tuple[str, int]]:
        """Return the histogram of the shorter sides: a name and a count for each bin."""
        bins = np.searchsorted(_SIDES_PX, [min(one.width_px, one.height_px) for one in self.usable], side="right")
        counts = np.bincount(bins, minlength=len(_SIDES_PX) + 1)
        names = [
            f"below {_SIDES_PX[0]} px",
            *(f"{low} to {high - 1} px" for low, high in pairwise(_SIDES_PX)),
            f"from {_SIDES_PX[-1]} px",
        ]
        return list(zip(names, counts.tolist(), strict=True))

    def enlarged(self) -> int:
        """Return how many usable pictures a training would enlarge, because a side is shorter than 344 px."""
        return sum(min(one.width_px, one.height_px) < HIGH_PX for one in self.usable)


def check_data(source: Path, *, tell: Callable[[int, int], None]) -> DataReport:
    """Check the pictures that a training would read in a folder, a DIV2K tree or a pack.

    `tell` is called after each picture with the counts of checked and of all pictures. Raises `ReferencePictureError`
    where there are no pictures.
    """
    files = training_files(source)
    with ThreadPoolExecutor(available_cores()) as pool:
        found = []
        for picture in pool.map(read, files):
            found.append(picture)
            tell(len(found), len(files))
    return DataReport(div2k_parts(source), tuple(found), tuple(_duplicates(found)))


def div2k_parts(source: Path) -> tuple[Div2kPart, ...]:
    """Return the parts of a DIV2K tree that are in `source`; none if it is no such tree."""
    found = []
    for name in _DIV2K_SETS:
        for kind, meaning in _DIV2K_KINDS.items():
            folder = source / f"DIV2K_{name}_{kind}"
            scales = [None] if kind == "HR" else [scale for scale in _DIV2K_SCALES if (folder / scale).is_dir()]
            for scale in scales:
                part = folder / scale if scale else folder
                if part.is_dir():
                    told = f"{name}, {meaning}{f', {scale}' if scale else ''}"
                    found.append(Div2kPart(part.relative_to(source).as_posix(), told, _count(part)))
    return tuple(found)


def _count(folder: Path) -> int:
    try:
        return len(pictures_in(folder))
    except ReferencePictureError:
        return 0


def read(file: PictureFile) -> ReadPicture:
    """Decode one file, and return its format, size and hash, or why it cannot be read."""
    try:
        with file.open("rb") as opened, Image.open(opened) as image:
            pixels = image.convert("RGB")
            kind, width, height = image.format or "", image.width, image.height
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        return ReadPicture(file, fault=str(error) or type(error).__name__)
    return ReadPicture(file, kind, width, height, fingerprint=int(str(imagehash.phash(pixels)), 16))


def _duplicates(pictures: Sequence[ReadPicture]) -> Iterable[tuple[str, ...]]:
    """Yield the groups of pictures that are linked by hashes that are alike."""
    usable = [one for one in pictures if one.fault is None]
    hashes = np.array([one.fingerprint for one in usable], dtype=np.uint64)
    group = list(range(len(usable)))
    for number, own in enumerate(hashes):
        for other in _alike(own, hashes[:number]):
            old, new = group[number], group[other]
            group = [new if one == old else one for one in group]
    for first in sorted(set(group)):
        members = [str(one.file) for one, of in zip(usable, group, strict=True) if of == first]
        if len(members) > 1:
            yield tuple(members)


def _alike(own: np.uint64, others: NDArray[np.uint64]) -> list[int]:
    return np.flatnonzero(np.bitwise_count(others ^ own) <= _ALIKE_BITS).tolist()
