"""What the store holds under the key of a picture that varies: by which fields. No I/O, no clock.

    frame 18 (see `framing`) | nonce, stale_before, length of the names (FIXED) | names with commas

The variants themselves are records under keys that are made of this nonce, so that all of them are gone together with
their rule: nobody can name them any more, and they leave the store when their time is over.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from service.errors import DamagedRecord
from service.records.framing import Framing

VERSION = 2
FRAMING = Framing(b"LEv", version=VERSION, previous_seals_magic=False)
NONCE_BYTES = 16
FIXED = struct.Struct(f">{NONCE_BYTES}sQH")


@dataclass(frozen=True, slots=True)
class VaryRule:
    """How a picture varies."""

    names: tuple[str, ...]
    """In lower case, sorted."""
    nonce: bytes
    stale_before: int = 0
    """Variants of an earlier generation (see `purge_table`) are stale: the picture was purged softly."""


def is_rule(value: bytes) -> bool:
    """Whether a string of the store is one, and not a record."""
    return FRAMING.is_of(value)


def pack_rule(rule: VaryRule, key: bytes) -> bytes:
    """As one string for the store, under this key alone; the same for the same rule."""
    names = ",".join(rule.names).encode("ascii")
    return FRAMING.build(FIXED.pack(rule.nonce, rule.stale_before, len(names)) + names, key)


def unpack_rule(value: bytes, key: bytes) -> VaryRule:
    """The rule in the string under this key. Raises DamagedRecord, ForeignRecord or RecordOfOthers."""
    _, reader = FRAMING.open(value, key)
    nonce, stale_before, names_bytes = reader.unpack(FIXED)
    names = reader.rest()
    if not 0 < names_bytes == len(names) or not names.isascii():
        raise DamagedRecord("impossible names in a rule")
    return VaryRule(tuple(names.decode("ascii").split(",")), nonce, stale_before)
