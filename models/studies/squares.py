"""The pictures of a study: the same squares at every side, on disk, so that all trainings share one copy in memory.

An oblong photograph gives two squares, one from each end of its longer side. Each square is resized once from the file
to each side by LANCZOS.
"""

from __future__ import annotations

import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import skimage
from PIL import Image
from rich.console import Console
from rich.progress import track

from models.evaluation.references import UNREADABLE, ReferencePictureError, reference
from models.pixels import to_tensor
from models.training.dataset import available_cores
from models.training.picture_file import training_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from models.evaluation.references import PictureFile
    from models.picture_array import Pixels

_HELD_OUT_EVERY = 16
"""Without a folder of validation pictures, one file in this many is used for scores and not for training (assumed)."""
_OBLONG = 1.2
"""The smallest ratio of the sides at which a photograph gives two squares (assumed)."""
_MOST_SCORED = 40
_TRAINED, _SCORED, _SHOWN = "trained", "scored", "shown"
_BUNDLED = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
"""Photographs of scikit-image in the public domain (NASA; CC0), which the sheets show."""


@dataclass(frozen=True)
class Squares:
    """Squares (n, S, S, 3) in uint8 of one set, by their side S. Square number i shows the same at each side."""

    by_side: dict[int, NDArray[np.uint8]]

    def __len__(self) -> int:
        return min(len(pixels) for pixels in self.by_side.values())

    def all(self, size_px: int) -> Tensor:
        """Return all squares of one side, (n, 3, S, S) in 0..1."""
        return to_tensor(self.by_side[size_px])


class Batches:
    """Draws random batches of squares, half of them mirrored, in the order of one seed."""

    def __init__(self, squares: Squares, *, seed: int) -> None:
        """Draw from `squares`."""
        self._squares, self._dice = squares, np.random.default_rng(seed)

    def draw(self, count: int, *sides_px: int) -> tuple[Tensor, ...]:
        """Return `count` squares at each of the sides, (count, 3, S, S) in 0..1."""
        chosen = self._dice.integers(len(self._squares), size=count)
        mirrored = self._dice.random(count) < 0.5  # noqa: PLR2004  half of them
        return tuple(to_tensor(_mirror(self._squares.by_side[px][chosen], mirrored)) for px in sides_px)


def _mirror(pixels: NDArray[np.uint8], mirrored: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(mirrored[:, None, None, None], pixels[:, :, ::-1], pixels)


def prepare(folder: Path, *, data: Path, valid: Path | None, sides_px: Sequence[int]) -> None:
    """Write the squares of both sets into `folder`, unless they are there from an earlier start.

    Raises `ReferencePictureError` where a set has no readable pictures.
    """
    if all(_file(folder, name, px).exists() for name in (_TRAINED, _SCORED, _SHOWN) for px in sides_px):
        return
    files = training_files(data)
    held_out = training_files(valid) if valid else files[::_HELD_OUT_EVERY]
    trained = files if valid else [one for number, one in enumerate(files) if number % _HELD_OUT_EVERY]
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, _TRAINED, _read_all(trained, sides_px, most=2, title="reading pictures"))
    _write(folder, _SCORED, _read_all(held_out[:_MOST_SCORED], sides_px, most=1, title="reading the others"))
    bundled = [Path(skimage.__file__).parent / "data" / name for name in _BUNDLED]
    _write(folder, _SHOWN, {px: np.stack([reference(file, px) for file in bundled]) for px in sides_px})


def trained_squares(folder: Path, sides_px: Sequence[int]) -> Squares:
    """Return the squares for training. Their files are mapped into memory."""
    return Squares({px: np.load(_file(folder, _TRAINED, px), mmap_mode="r") for px in sides_px})


def scored_squares(folder: Path, sides_px: Sequence[int]) -> Squares:
    """Return the squares for the scores."""
    return Squares({px: np.load(_file(folder, _SCORED, px)) for px in sides_px})


def shown_squares(folder: Path, sides_px: Sequence[int]) -> Squares:
    """Return the squares that the sheets show."""
    return Squares({px: np.load(_file(folder, _SHOWN, px)) for px in sides_px})


def read_squares(file: PictureFile, *, sides_px: Sequence[int]) -> list[tuple[Pixels, ...]]:
    """Return the squares of one photograph, each as its pixels at all sides.

    Raises `ReferencePictureError` where the file cannot be read.
    """
    try:
        with file.open("rb") as opened, Image.open(opened) as image:
            rgb = image.convert("RGB")
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise ReferencePictureError(f"cannot read {file} as a picture: {error}") from error
    boxes = _boxes(rgb.width, rgb.height)
    return [
        tuple(np.asarray(rgb.resize((px, px), Image.Resampling.LANCZOS, box=box)) for px in sides_px) for box in boxes
    ]


def _boxes(width: int, height: int) -> list[tuple[int, int, int, int]]:
    side = min(width, height)
    if max(width, height) < _OBLONG * side:
        left, top = (width - side) // 2, (height - side) // 2
        return [(left, top, left + side, top + side)]
    return [(0, 0, side, side), (width - side, height - side, width, height)]


def _read_all(
    files: Sequence[PictureFile], sides_px: Sequence[int], *, most: int, title: str
) -> dict[int, NDArray[np.uint8]]:
    """Return at most `most` squares of each file, by their side."""
    console = Console(stderr=True)
    with ThreadPoolExecutor(available_cores()) as pool:
        jobs = pool.map(lambda file: _read(file, sides_px), files)
        bar = track(jobs, total=len(files), description=title, console=console, disable=not console.is_terminal)
        squares = [square for of_file in bar for square in of_file[:most]]
    if not squares:
        raise ReferencePictureError("none of the files can be read as a picture")
    return {px: np.stack([square[place] for square in squares]) for place, px in enumerate(sides_px)}


def _write(folder: Path, name: str, squares: dict[int, NDArray[np.uint8]]) -> None:
    for px, pixels in squares.items():
        file = _file(folder, name, px)
        fresh = file.with_suffix(".new.npy")
        np.save(fresh, pixels)
        fresh.replace(file)


def _read(file: PictureFile, sides_px: Sequence[int]) -> list[tuple[Pixels, ...]]:
    """Return the squares of a file, or none if it cannot be read, which is reported on stderr."""
    try:
        return read_squares(file, sides_px=sides_px)
    except ReferencePictureError as error:
        print(f"{file}: left out: {error}", file=sys.stderr)
        return []


def _file(folder: Path, name: str, size_px: int) -> Path:
    return folder / f"{name}-{size_px}.npy"
