"""The vary rule: by which request fields a picture varies, stored under the picture's key. No I/O, no clock.

    frame 18 (see `framing`) | nonce, stale_before, length of the names (FIXED) | names with commas

The variants are records of their own, and this nonce is part of their keys. Without the rule no variant can be looked
up, so deleting the rule purges all of them; the store drops them when they expire.
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
    """Names of header fields, in lower case and sorted."""
    nonce: bytes
    stale_before: int = 0
    """Variants of an earlier generation (see `purge_table`) are stale: the picture was purged softly."""


def is_rule(value: bytes) -> bool:
    """Return whether a string of the store is a vary rule, and not a record."""
    return FRAMING.is_of(value)


def pack_rule(rule: VaryRule, key: bytes) -> bytes:
    """Return the rule as one string for the store, under this key alone. Equal rules give equal strings."""
    names = ",".join(rule.names).encode("ascii")
    return FRAMING.build(FIXED.pack(rule.nonce, rule.stale_before, len(names)) + names, key)


def unpack_rule(value: bytes, key: bytes) -> VaryRule:
    """Return the rule in the string under this key. Raises DamagedRecord, ForeignRecord or RecordOfOthers."""
    reader = FRAMING.open(value, key).reader
    nonce, stale_before, names_bytes = reader.unpack(FIXED)
    names = reader.rest()
    if not 0 < names_bytes == len(names) or not names.isascii():
        raise DamagedRecord("impossible names in a rule")
    return VaryRule(tuple(names.decode("ascii").split(",")), nonce, stale_before)
