"""The vary rule: the names of the request fields by which a picture varies, stored under its key. No I/O, no clock.

    frame 18 (see `framing`) | nonce, stale_before, length of the names (FIXED) | names with commas

Each variant is a separate record, whose key depends on the nonce of the rule. So deleting the rule purges all variants:
their keys are not known any more, and the store drops them when they expire.
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
    """The request fields by which a picture varies, and the nonce that is part of its variants' keys."""

    names: tuple[str, ...]
    """Names of header fields, in lower case and sorted."""
    nonce: bytes
    stale_before: int = 0
    """The generation of the latest soft purge (see `purge_table`); variants with a smaller one are stale. 0: none."""


def is_rule(value: bytes) -> bool:
    """Return whether a string of the store is a vary rule, and not a record or a negative cache entry."""
    return FRAMING.is_of(value)


def pack_rule(rule: VaryRule, key: bytes) -> bytes:
    """Return the rule as one string for the store. It can be read only under the same key."""
    names = ",".join(rule.names).encode("ascii")
    return FRAMING.build(FIXED.pack(rule.nonce, rule.stale_before, len(names)) + names, key)


def unpack_rule(value: bytes, key: bytes) -> VaryRule:
    """Return the rule in the string under this key. Raises DamagedRecord, ForeignRecord or RecordOfOthers."""
    reader = FRAMING.open(value, key).reader
    nonce, stale_before, names_bytes = reader.unpack(FIXED)
    names = reader.rest()
    if not 0 < names_bytes == len(names) or not names.isascii():
        raise DamagedRecord("the field names in the vary rule are invalid")
    return VaryRule(tuple(names.decode("ascii").split(",")), nonce, stale_before)
