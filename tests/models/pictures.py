"""Photographs and worst cases for the codec's tests; nothing is downloaded."""

from functools import cache
from pathlib import Path

import numpy as np
import skimage

from models.evaluation.references import reference
from models.picture_array import Pixels


@cache
def photograph(name: str = "astronaut", size_px: int = 344) -> Pixels:
    """A photograph out of scikit-image's wheel as a square reference."""
    folder = Path(skimage.__file__).parent / "data"
    (file,) = folder.glob(f"{name}.*")
    return reference(file, size_px)


def noise(seed: int = 0, size_px: int = 344) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, size=(size_px, size_px, 3), dtype=np.uint8)


def checkerboard(size_px: int = 344) -> Pixels:
    """Black and white single pixels: the highest frequency there is."""
    rows, columns = np.indices((size_px, size_px))
    return np.repeat((((rows + columns) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)


def flat(level: int, size_px: int = 344) -> Pixels:
    return np.full((size_px, size_px, 3), level, dtype=np.uint8)
