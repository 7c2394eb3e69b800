"""The negative cache entry as a string of the store, framed as `framing` says. No I/O, no clock.

It holds an error of the origin, or with the flag EDGES_OWN an error of this edge: the origin's file is of no use.

frame 18 | born_ms, lifetime_s, status, generation, lengths (FIXED) | what is passed on, and more
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

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
    """An error in place of a picture, and how long it is remembered."""

    status: int
    born_ms: int
    lifetime_s: int
    generation: int
    """The latest purge of any kind before the origin was asked. Any later purge by tag or of all pictures ends it."""
    passed: PassedOn
    error_fields: ErrorFields = NO_ERROR_FIELDS
    is_edges_own: bool = False
    """Whether the origin answered with a file, and this edge found that it cannot serve it."""


def is_negative_entry(value: bytes) -> bool:
    """Return whether a string of the store is a negative entry, and not a record."""
    return FRAMING.is_of(value)


def pack_negative_entry(entry: NegativeEntry, key: bytes) -> bytes:
    """Return the entry as one string for the store; it can be read under this key alone."""
    assert all_fit(entry.passed), "what does not fit is not remembered"
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
        raise DamagedRecord(f"impossible fields of an error: {error}") from error


def _passed(body: bytes, lengths: tuple[int, ...]) -> PassedOn:
    caps = (PASSED_ON_CAPS_BYTES[name] for name in PASSED_ON)
    if sum(lengths) != len(body) or any(length > cap for length, cap in zip(lengths, caps, strict=True)):
        raise DamagedRecord("impossible lengths in a negative entry")
    if not body.isascii():
        raise DamagedRecord("a text that is not ASCII")
    text, said = body.decode("ascii"), {}
    for name, length in zip(PASSED_ON, lengths, strict=True):
        said[name], text = text[:length], text[length:]
    return PassedOn(**said)
