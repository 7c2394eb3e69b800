"""Source pictures that show their number and version in 8x8 black or white cells, and the reader of those cells.

The 64 cells are bits: 16 of the number, 16 of the version and 32 of a CRC of both. A damaged or mixed picture is not
read as one of ours.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

CELLS = 8
CELL_PX = 43  # 8 x 43 = 344: the edge does not resize such a source
DARK, BRIGHT = 40, 215  # room for ringing, so that no level is clipped (assumed)
MARK = struct.Struct(">HH")
CHECK = struct.Struct(">I")


@dataclass(frozen=True)
class Seen:
    """What a picture shows."""

    side_px: int
    number: int
    version: int


class UnreadableMarkError(Exception):
    """A file that is no picture, or a picture whose cells do not agree with their checksum."""


@lru_cache(maxsize=1024)
def draw(number: int, version: int) -> bytes:
    """Return the PNG file of a picture."""
    mark = MARK.pack(number, version)
    bits = np.unpackbits(np.frombuffer(mark + CHECK.pack(zlib.crc32(mark)), np.uint8))
    levels = np.where(bits, BRIGHT, DARK).astype(np.uint8).reshape(CELLS, CELLS)
    colour = np.stack([levels, np.roll(levels, number % CELLS, 1) // 2 + 64, levels], -1)
    pixels = np.kron(colour, np.ones((CELL_PX, CELL_PX, 1), np.uint8))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def recognise(file: bytes) -> Seen:
    """Return what the picture in an image file shows. Raises UnreadableMarkError."""
    try:
        with Image.open(io.BytesIO(file)) as picture:
            red = np.asarray(picture.convert("RGB"), np.float32)[..., 0]
    except OSError as error:
        raise UnreadableMarkError("the body is no picture") from error
    bits = np.array([[_level(red, row, column) for column in range(CELLS)] for row in range(CELLS)])
    read = np.packbits(bits > (DARK + BRIGHT) / 2).tobytes()
    mark, check = read[: MARK.size], read[MARK.size :]
    if red.shape[0] != red.shape[1] or CHECK.unpack(check)[0] != zlib.crc32(mark):
        raise UnreadableMarkError("the cells do not agree with their checksum")
    number, version = MARK.unpack(mark)
    return Seen(red.shape[0], number, version)


def _level(red: np.ndarray, row: int, column: int) -> float:
    """Return the mean of the middle half of a cell."""
    height, width = red.shape[0] / CELLS, red.shape[1] / CELLS
    rows = slice(int((row + 0.25) * height), int((row + 0.75) * height) + 1)
    columns = slice(int((column + 0.25) * width), int((column + 0.75) * width) + 1)
    return float(red[rows, columns].mean())
