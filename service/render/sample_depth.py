"""Scale grey pictures of more than 8 bits a pixel to 8 bits. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
"""TIFF 6.0: tags of the number of bits, of whether zero is white, and of whether samples are floats."""
WHITE_IS_ZERO, UNSIGNED = 0, 1
# What white may be where a file does not say it, as in 32-bit integers and floats: 1, 8, 16 or 32 bits.
WHITES = (255, 65_535, 2**32 - 1)
FLOAT_WHITE_CAP = 2.0
"""The largest value of a float picture whose white is 1. Scenes may shine a little beyond white (assumed)."""


@dataclass(frozen=True, slots=True)
class SampleDepth:
    """The range of a grey picture's values."""

    white: float
    """The value of white, or of black if the range is inverted."""
    is_inverted: bool = False
    is_unsigned: bool = False
    """Whether the values are unsigned integers of 32 bits, which Pillow gives as signed ones."""

    def reduce(self, image: Image.Image) -> Image.Image:
        """Return a picture in 8 bits, with alpha if a value is transparent. Pillow's conversion would clip at 255."""
        values = np.asarray(image)
        grey = Image.fromarray(self._scale(values, 255).astype(np.uint8))
        transparent = image.info.get("transparency")
        if transparent is not None:
            grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
        return grey

    def widen(self, image: Image.Image) -> NDArray[np.uint16]:
        """Return the values (height, width, 1) in 16 bits, for a conversion that needs them."""
        return self._scale(np.asarray(image), 65_535).astype(np.uint16)[..., None]

    def _scale(self, values: NDArray[np.generic], most: int) -> NDArray[np.float64]:
        values = values.view(np.uint32) if self.is_unsigned else values
        scaled = np.nan_to_num(values.astype(np.float64) / (self.white / most), nan=0.0)
        grey = np.clip(np.rint(scaled), 0, most)
        return most - grey if self.is_inverted else grey


def is_wide(image: Image.Image) -> bool:
    """Return whether a picture is grey with more than 8 bits a pixel."""
    return image.mode in {"I", "F"} or image.mode.startswith("I;")


def find_depth(image: Image.Image) -> SampleDepth:
    """Return the range of a wide grey picture's values. The whole picture must be decoded."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    is_inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    if image.mode not in {"I", "F"}:
        (bits, *_) = tags.get(BITS_PER_SAMPLE, (16,))
        return SampleDepth(2**bits - 1, is_inverted=is_inverted)
    if image.mode == "F":
        return SampleDepth(_find_float_white(np.asarray(image)), is_inverted=is_inverted)
    is_unsigned = tags.get(BITS_PER_SAMPLE) == (32,) and tags.get(SAMPLE_FORMAT, (UNSIGNED,)) == (UNSIGNED,)
    return SampleDepth(_find_white(image, is_unsigned=is_unsigned), is_inverted=is_inverted, is_unsigned=is_unsigned)


def _find_float_white(values: NDArray[np.float32]) -> float:
    largest = float(np.max(values, where=np.isfinite(values), initial=0))
    return 1 if largest <= FLOAT_WHITE_CAP else _round_up(largest)


def _find_white(image: Image.Image, *, is_unsigned: bool) -> float:
    smallest, largest = cast("tuple[float, float]", image.getextrema())
    if is_unsigned and smallest < 0:  # an unsigned value that does not fit a signed integer
        return WHITES[-1]
    return _round_up(largest)


def _round_up(largest: float) -> float:
    return next((white for white in WHITES if largest <= white), largest)
