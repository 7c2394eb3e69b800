"""Pack and unpack the messages between the edge and the child process that reads large files. No I/O.

The child decodes untrusted files, so its answers are not trusted either: every length is fixed or limited.

    question: length of the file 8 | file
    answer: outcome 1, length of the rest 8 | the picture (FIXED, media type, high, medium), or the message of an error
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from models.config import HIGH_PX, MEDIUM_PX
from models.picture_array import Pixels
from service.errors import DamagedPicture, NotAPicture, PictureTooLarge, SourceError
from service.records.record import DIGEST_BYTES
from service.upstream.source import Prepared

QUESTION = struct.Struct(">Q")
ANSWER = struct.Struct(">BQ")
ANSWER_CAP_BYTES = 2**20
"""The longest valid answer. The pixels of both sizes take 443,760 bytes of it."""
OUT_OF_MEMORY = 3
"""The exit status of a child that does not have enough memory to receive a file or to send its answer."""
_FIXED = struct.Struct(f">{DIGEST_BYTES}sQIIB")
_PICTURE = 0
_ERRORS = (NotAPicture, DamagedPicture, PictureTooLarge)  # the outcomes 1, 2 and 3 in an answer
_MESSAGE_CAP_BYTES = 1000


def pack_answer(prepare: Callable[[bytes], Prepared], file: bytes) -> bytes:
    """Prepare a file, and return the answer as bytes: the prepared picture, or the error."""
    try:
        outcome, rest = _PICTURE, _pack(prepare(file))
    except _ERRORS as error:
        outcome, rest = 1 + _ERRORS.index(type(error)), str(error).encode()[:_MESSAGE_CAP_BYTES]
    return ANSWER.pack(outcome, len(rest)) + rest


def unpack_answer(outcome: int, rest: bytes) -> Prepared:
    """Return the picture of an answer, or raise its SourceError. Raises ValueError for an invalid answer."""
    if outcome != _PICTURE:
        raise _unpack_error(outcome, rest)
    try:
        digest, source_bytes, high_bytes, medium_bytes, name_bytes = _FIXED.unpack_from(rest)
        name_end = _FIXED.size + name_bytes
        high, medium = _unpack_pixels(rest[name_end:])
        media_type = rest[_FIXED.size : name_end].decode("ascii")
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"the picture in the answer cannot be unpacked: {error}") from error
    return Prepared(digest, source_bytes, high, medium, high_bytes, medium_bytes, media_type)


def _pack(prepared: Prepared) -> bytes:
    name = prepared.media_type.encode("ascii")
    fixed = _FIXED.pack(
        prepared.source_digest,
        prepared.source_bytes,
        prepared.conventional_high_bytes,
        prepared.conventional_medium_bytes,
        len(name),
    )
    return fixed + name + prepared.high.tobytes() + prepared.medium.tobytes()


def _unpack_error(outcome: int, rest: bytes) -> SourceError | ValueError:
    if outcome > len(_ERRORS):
        return ValueError(f"the outcome {outcome} of the answer is unknown")
    return _ERRORS[outcome - 1](rest.decode("utf-8", "replace"))


def _unpack_pixels(body: bytes) -> tuple[Pixels, Pixels]:
    values, high_values = np.frombuffer(body, np.uint8), 3 * HIGH_PX**2
    high, medium = values[:high_values], values[high_values:]
    return high.reshape(HIGH_PX, HIGH_PX, 3).copy(), medium.reshape(MEDIUM_PX, MEDIUM_PX, 3).copy()
