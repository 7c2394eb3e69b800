"""The fixed part of a message between an HTTP worker and the decoder: one header frame. Standard library only.

    prefix   magic "LB", version, kind, number of the request
    fields   the fields of this kind of message, in the order of its layout

All numbers are little-endian. A header with another magic, version or length is refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from service.errors import DamagedMessage

MAGIC = b"LB"
VERSION = 2
_PREFIX = struct.Struct("<2sBBQ")


class Kind(IntEnum):
    """The kind of a message, as a number. Requests are below 16, answers are 16 and above."""

    HELLO = 1
    DECODE = 2
    ENCODE = 3
    REFINE = 4
    CANCEL = 5
    DEMOTE = 6
    NAMES = 16
    PICTURE = 17
    BITSTREAM = 18
    NOTHING = 19
    FAILURE = 20


_LAYOUTS = {
    Kind.DECODE: struct.Struct("<HBB4sd"),  # fields: size_px, quality, bytes of one symbol of q, stream id, deadline_s
    Kind.ENCODE: struct.Struct("<HHBdBd"),  # fields: height_px, width_px, quality, target, patient, deadline_s
    Kind.REFINE: struct.Struct("<HHBdI"),  # fields: height_px, width_px, quality, target, steps
    Kind.DEMOTE: struct.Struct("<B"),  # field: quality
    Kind.PICTURE: struct.Struct("<Hdd"),  # fields: size_px, queue_s, synthesis_s
    Kind.FAILURE: struct.Struct("<B"),  # field: the error, as the number of a `Fault`
}
_EMPTY = struct.Struct("<")


@dataclass(frozen=True, slots=True)
class Header:
    """The first frame of a message: its kind, its request, and the fixed-size fields of its kind."""

    kind: Kind
    number: int
    """The number of the request; an answer repeats the number of its request. 0 if the message belongs to none."""
    fields: tuple[int | float | bytes, ...] = ()

    def build(self) -> bytes:
        """Return the header as the bytes of a frame."""
        layout = _LAYOUTS.get(self.kind, _EMPTY)
        return _PREFIX.pack(MAGIC, VERSION, self.kind, self.number) + layout.pack(*self.fields)

    @classmethod
    def parse(cls, frame: bytes) -> Header:
        """Return the header in a frame. Raises DamagedMessage."""
        if len(frame) < _PREFIX.size:
            raise DamagedMessage(f"the header has {len(frame)} bytes; it needs at least {_PREFIX.size}")
        magic, version, number_of_kind, number = _PREFIX.unpack_from(frame)
        if (magic, version) != (MAGIC, VERSION) or number_of_kind not in Kind.__members__.values():
            raise DamagedMessage(
                f"the header has magic {magic!r}, version {version} and kind {number_of_kind}; known are {MAGIC!r}, "
                f"{VERSION} and the kinds of this release"
            )
        kind = Kind(number_of_kind)
        layout = _LAYOUTS.get(kind, _EMPTY)
        if len(frame) != _PREFIX.size + layout.size:
            raise DamagedMessage(
                f"the header of a {kind.name} message has {len(frame)} bytes instead of {_PREFIX.size + layout.size}"
            )
        return cls(kind, number, layout.unpack_from(frame, _PREFIX.size))
