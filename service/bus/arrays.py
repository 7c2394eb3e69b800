"""Convert symbols and pixels to the raw bytes of message frames, and back. Copies only the symbols q of a latent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.config import GRID, QUALITIES
from models.picture_array import Pixels
from service.errors import DamagedMessage

if TYPE_CHECKING:
    from models.latent_codec import Symbols

Buffer = bytes | bytearray | memoryview
CELLS = GRID * GRID
_CHANNELS = 3
_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<i1"), 2: np.dtype("<i2")}


def symbol_frames(symbols: Symbols) -> tuple[int, list[memoryview]]:
    """Return the bytes per value of the symbols q, and the frames of the symbols h1 and q.

    Nearly always, one byte per value is enough for q; otherwise it is sent with two.
    """
    q = symbols.q
    narrow = bool(q.size == 0 or (q.min() >= -128 and q.max() <= 127))  # noqa: PLR2004  (int8)
    kind = _TYPES[1 if narrow else 2]
    return kind.itemsize, [_flat(symbols.h1), _flat(np.ascontiguousarray(q, kind))]


def read_symbols(frames: list[Buffer], *, quality: int, symbol_bytes: int) -> Symbols:
    """Return the symbols from their two frames. Their h1 is a view of its frame. Raises DamagedMessage."""
    from models.latent_codec import Symbols

    if quality >= QUALITIES or symbol_bytes not in _TYPES or len(frames) != 2:  # noqa: PLR2004  (h1 and q)
        raise DamagedMessage(
            f"the symbols have quality {quality} (0 to {QUALITIES - 1} are allowed), {symbol_bytes} bytes a value "
            f"(1 or 2) and {len(frames)} frames (2)"
        )
    h1, q = _cells(frames[0], _TYPES[1]), _cells(frames[1], _TYPES[symbol_bytes])
    return Symbols(quality, h1, q.astype(np.int16))


def pixel_frame(pixels: Pixels) -> memoryview:
    """Return the frame with the raw bytes of a picture."""
    return _flat(pixels)


def read_pixels(frames: list[Buffer], *, height_px: int, width_px: int) -> Pixels:
    """Return the pixels (height, width, 3) as a view of the frame. Raises DamagedMessage."""
    if len(frames) != 1 or len(frames[0]) != height_px * width_px * _CHANNELS:
        raise DamagedMessage(f"a message has no frame with the bytes of exactly {width_px} x {height_px} RGB pixels")
    return np.frombuffer(frames[0], np.uint8).reshape(height_px, width_px, _CHANNELS)


def _cells(frame: Buffer, kind: np.dtype[Any]) -> NDArray[Any]:
    if not len(frame) or len(frame) % (CELLS * kind.itemsize):
        raise DamagedMessage(
            f"a frame of symbols has {len(frame)} bytes, which is no multiple of a channel's {CELLS * kind.itemsize}"
        )
    return np.frombuffer(frame, kind).reshape(CELLS, -1)


def _flat(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")
