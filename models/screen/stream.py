"""The bitstream of the screen mode: pixels -> bitstream, bitstream -> picture of 344 or 172 px. Knows no networks.

    bytes  field
    13     header as in models/bitstream.py: flag bit 1, SCREEN_STREAM_ID, and as quality the tolerance of the encoder
    4      CRC-32 over the header, the mode and the decoded pixels (344 * 344 * 3 bytes), little-endian
    1      mode: how new colours are coded: 0 directly, 1 as differences (see samples.py)
    n      the bytes of the binary arithmetic coder

Decoding uses integers, takes a limited time and writes into an array of fixed size, so it is safe for any bytes. The
decoded pixels are the same on every machine. The 172 picture is the 344 picture resized by LANCZOS.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models import bitstream
from models.bitstream import FLAG_SCREEN, Bitstream, DamagedBitstream, ForeignBitstream
from models.config import HIGH_PX, MEDIUM_PX
from models.machine_code import compile_loop
from models.picture_array import Pixels
from models.screen.binary_coder import CODE, HIGH, PLACE, finish, new_coder
from models.screen.choice import find_candidate, most_bytes
from models.screen.pixel_model import SLOTS, code_picture, new_memory
from models.screen.pixel_rows import new_rows, pixels_of, rows_of
from models.screen.samples import MODES
from models.screen.stream_ids import SCREEN_STREAM_ID

TOLERANCES = (0, 2, 4)
"""The largest differences of a sample that the encoder tries, in this order."""
LARGEST_TOLERANCE = max(TOLERANCES)
PAYLOAD_CAP_BYTES = 1 << 16
"""The largest number of bytes after the header (derived: the encoder never writes more than `most_bytes` allows)."""
MEAN_SQUARE = 4
"""The largest mean squared error of a sample: a PSNR of at least 42 dB, which latents of such pictures never reach."""

_SUM_BYTES, _MODE_BYTES = 4, 1
_HEAD = _SUM_BYTES + _MODE_BYTES


def encode_if_smaller(pixels: Pixels, *, target_bytes: int | None = None) -> bytes | None:
    """Return the screen stream of a picture (344, 344, 3), or None if its latent is the better choice.

    The choice depends on the pixels alone, not on a device, a head or a quality. With `target_bytes`, the stream also
    takes at most that many bytes.
    """
    if not find_candidate(pixels):
        return None
    limit_bytes = most_bytes(pixels)
    return encode_within(pixels, limit_bytes if target_bytes is None else min(limit_bytes, target_bytes))


def encode_within(pixels: Pixels, limit_bytes: int) -> bytes | None:
    """Return the screen stream with the smallest tolerance that takes at most `limit_bytes`, or None if none does."""
    source = rows_of(pixels)
    for tolerance in TOLERANCES:
        streams = [_encode(source, mode, tolerance, limit_bytes) for mode in MODES]
        found = min((one for one in streams if one is not None), key=len, default=None)
        if found is not None and _error(pixels, decode(found, size_px=HIGH_PX)) <= MEAN_SQUARE * pixels.size:
            return found
    return None


def decode(blob: bytes, *, size_px: int) -> Pixels:
    """Return the picture (size_px, size_px, 3) of a screen stream; `size_px` is 344 or 172.

    Raises a `BitstreamError`, and `ValueError` for another size.
    """
    if size_px not in {HIGH_PX, MEDIUM_PX}:
        raise ValueError(f"cannot decode to {size_px} px: the sizes are {HIGH_PX} and {MEDIUM_PX}")
    high = _decode(_parse(blob))
    if size_px == HIGH_PX:
        return high
    from models.pixels import lanczos_half  # it brings torch

    return lanczos_half(high)


def largest_error(blob: bytes) -> int:
    """Return the largest difference of a sample that the encoder of a screen stream allowed. Raises BitstreamError."""
    return _parse(blob).quality


def compile_coder() -> None:
    """Compile the coder now, so that no request waits for it: some seconds without numba's cache."""
    blank = _encode(new_rows(), MODES[0], 0, PAYLOAD_CAP_BYTES)
    assert blank is not None, "a white picture takes few bytes"
    decode(blank, size_px=HIGH_PX)


def _encode(source: NDArray[np.int64], mode: int, tolerance: int, limit_bytes: int) -> bytes | None:
    blank = Bitstream(SCREEN_STREAM_ID, tolerance, FLAG_SCREEN, width_px=HIGH_PX, height_px=HIGH_PX, words=b"")
    room = limit_bytes - blank.header_bytes - _HEAD
    if room <= 0:
        return None
    buffer, rows = np.zeros(room, np.uint8), new_rows()
    coder = new_coder(buffer, SLOTS, encodes=True)
    compile_loop(code_picture)(rows, source, coder, buffer, new_memory(), mode=mode, tolerance=tolerance)
    coded = finish(coder, buffer)
    if coded is None:
        return None
    found = _checksum(blank, mode, pixels_of(rows)).to_bytes(_SUM_BYTES, "little")
    return bitstream.build(replace(blank, words=found + bytes([mode]) + coded))


def _parse(blob: bytes) -> Bitstream:
    parsed = bitstream.parse(blob)
    if parsed.flags != FLAG_SCREEN or parsed.stream_id != SCREEN_STREAM_ID:
        raise ForeignBitstream(
            f"the bitstream has stream id {parsed.stream_id.hex()} and flags {parsed.flags}, "
            f"the screen mode of this release reads {SCREEN_STREAM_ID.hex()} and {FLAG_SCREEN}"
        )
    if parsed.quality > LARGEST_TOLERANCE:
        raise DamagedBitstream(f"the tolerance is {parsed.quality}, the limit is {LARGEST_TOLERANCE}")
    if not _HEAD < len(parsed.words) <= PAYLOAD_CAP_BYTES:
        raise DamagedBitstream(f"the screen stream has only {len(parsed.words)} bytes after its header")
    if parsed.words[_SUM_BYTES] not in MODES:
        raise DamagedBitstream(f"the mode {parsed.words[_SUM_BYTES]} is not one of {MODES}")
    return parsed


def _decode(parsed: Bitstream) -> Pixels:
    mode, buffer = parsed.words[_SUM_BYTES], np.frombuffer(bytearray(parsed.words[_HEAD:]), np.uint8)
    coder, rows = new_coder(buffer, SLOTS, encodes=False), new_rows()
    compile_loop(code_picture)(rows, new_rows(), coder, buffer, new_memory(), mode=mode, tolerance=0)
    decoded = pixels_of(rows)
    if coder[PLACE] != len(buffer) or coder[CODE] != coder[HIGH]:  # the encoder ends with the bytes of HIGH
        raise DamagedBitstream("the bytes of the screen stream do not end after its last pixel")
    if _checksum(parsed, mode, decoded) != int.from_bytes(parsed.words[:_SUM_BYTES], "little"):
        raise DamagedBitstream("the checksum does not match the decoded header and pixels")
    return decoded


def _checksum(header: Bitstream, mode: int, pixels: Pixels) -> int:
    return bitstream.checksum(header, bytes([mode]), pixels.tobytes())


def _error(pixels: Pixels, decoded: Pixels) -> int:
    """Return the sum of the squared errors of all samples."""
    error = pixels.astype(np.int32) - decoded
    return int((error * error).sum())
