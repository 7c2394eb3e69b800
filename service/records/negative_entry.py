"""The format of a negative cache entry in the store, inside the frame of framing.py. No I/O, no clock.

It holds an error of the origin, or with the flag EDGES_OWN an error of this edge, which cannot serve the origin's file.

frame 18 | born_ms, lifetime_s, status, generation, lengths (FIXED) | fields of PassedOn | fields of ErrorFields
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from service.errors import DamagedRecord
from service.records.framing import NO_FLAGS, Framing
from service.records.record import PASSED_ON_CAPS_BYTES, all_fit
from service.rules.error_fields import NO_ERROR_FIELDS, ErrorFields, pack_error_fields, unpack_error_fields
from service.rules.response_fields import PASSED_ON, PassedOn

VERSION = 3
EDGES_OWN = 0x0001
FRAMING = Framing(b"LEn", version=VERSION, previous_seals_magic=False, known_flags=EDGES_OWN)
FIXED = struct.Struct(">qIHQ6H")


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativeEntry:
    """A cached error, which is stored in place of a picture, and its freshness lifetime."""

    status: int
    born_ms: int
    lifetime_s: int
    generation: int
    """The latest purge generation when the origin was asked. A later purge by tag or of all pictures ends the entry."""
    passed: PassedOn
    error_fields: ErrorFields = NO_ERROR_FIELDS
    is_edges_own: bool = False
    """Whether the error is the edge's own: the origin sent a file, but the edge cannot serve it."""


def is_negative_entry(value: bytes) -> bool:
    """Return whether a string of the store is a negative cache entry, and not a record or a vary rule."""
    return FRAMING.is_of(value)


def pack_negative_entry(entry: NegativeEntry, key: bytes) -> bytes:
    """Return the entry as one string for the store. It can be read only under the same key."""
    assert all_fit(entry.passed), "the negative cache stores no entry with a field that is too long"
    texts = [getattr(entry.passed, name) for name in PASSED_ON]
    fixed = FIXED.pack(entry.born_ms, entry.lifetime_s, entry.status, entry.generation, *map(len, texts))
    body = fixed + "".join(texts).encode("ascii") + pack_error_fields(entry.error_fields)
    return FRAMING.build(body, key, flags=EDGES_OWN if entry.is_edges_own else NO_FLAGS)


def unpack_negative_entry(value: bytes, key: bytes) -> NegativeEntry:
    """Return the entry in the string under this key. Raises DamagedRecord, ForeignRecord or RecordOfOthers."""
    opened = FRAMING.open(value, key)
    reader = opened.reader
    born_ms, lifetime_s, status, generation, *lengths = reader.unpack(FIXED)
    return NegativeEntry(
        status=status,
        born_ms=born_ms,
        lifetime_s=lifetime_s,
        generation=generation,
        passed=_passed(reader.take(sum(lengths)), tuple(lengths)),
        error_fields=_error_fields(reader.rest()),
        is_edges_own=bool(opened.flags & EDGES_OWN),
    )


def _error_fields(body: bytes) -> ErrorFields:
    try:
        return unpack_error_fields(body)
    except ValueError as error:
        raise DamagedRecord(f"a negative cache entry is damaged: {error}") from error


def _passed(body: bytes, lengths: tuple[int, ...]) -> PassedOn:
    caps = (PASSED_ON_CAPS_BYTES[name] for name in PASSED_ON)
    if sum(lengths) != len(body) or any(length > cap for length, cap in zip(lengths, caps, strict=True)):
        raise DamagedRecord("the field lengths in a negative cache entry are invalid")
    if not body.isascii():
        raise DamagedRecord("a text field of a negative cache entry is not ASCII")
    text, said = body.decode("ascii"), dict[str, Any]()
    for name, length in zip(PASSED_ON, lengths, strict=True):
        said[name], text = text[:length], text[length:]
    return PassedOn(**said)
