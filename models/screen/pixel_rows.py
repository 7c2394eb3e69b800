"""A picture as one array of colours (0xRRGGBB) in rows with a margin, so that every pixel has neighbours."""

from __future__ import annotations

import numpy as np

from models.config import HIGH_PX
from models.picture_array import Pixels
from models.screen.binary_coder import I64

MARGIN = 2
STRIDE = HIGH_PX + 2 * MARGIN
"""The distance between a pixel and the one below it."""
FIRST = MARGIN * STRIDE + MARGIN
"""The index of the top left pixel."""
_WHITE = 0xFFFFFF


def new_rows() -> I64:
    """Return an empty picture: white, with a margin of two pixels on all sides."""
    return np.full((HIGH_PX + 2 * MARGIN) * STRIDE, _WHITE, np.int64)


def rows_of(pixels: Pixels) -> I64:
    """Return the rows of a picture (344, 344, 3)."""
    rows, samples = new_rows(), pixels.astype(np.int64)
    colours = samples[..., 0] << 16 | samples[..., 1] << 8 | samples[..., 2]
    rows.reshape(-1, STRIDE)[MARGIN:-MARGIN, MARGIN:-MARGIN] = colours
    return rows


def pixels_of(rows: I64) -> Pixels:
    """Return the picture (344, 344, 3) without its margin."""
    colours = rows.reshape(-1, STRIDE)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], -1).astype(np.uint8)
