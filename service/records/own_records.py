"""Records that a process keeps for itself, where the store holds another release's record. No I/O, no clock.

Each string is named by the key and by the record that it stands beside. The caller has just read that record from
the store: when it is purged, renewed or replaced, the string beside it is never found again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from service.records.lookup import Lookup
from service.records.vary_rule import is_rule
from service.rules.vary import selection

LIMIT_BYTES = 16 * 2**20
"""Assumed: more than a thousand pictures, as long as a roll-out lasts."""
OBJECTS_BYTES = 170
"""Measured (tracemalloc, Python 3.11): what the objects of one string take beside its bytes."""


class OwnRecords:
    """The strings that were used last, at most `limit_bytes` of them."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._values: OrderedDict[bytes, bytes] = OrderedDict()
        self._size_bytes = 0

    def get(self, lookup: Lookup, beside: bytes) -> bytes | None:
        """Return the string for the requests of this lookup, beside this string of the store."""
        name = _name(lookup, beside)
        value = self._values.get(name)
        if value is not None:
            self._values.move_to_end(name)
        return value

    def put(self, lookup: Lookup, beside: bytes, value: bytes) -> None:
        """Keep a string, instead of the one before."""
        name = _name(lookup, beside)
        before = self._values.pop(name, None)
        self._size_bytes += _size_bytes(value) - (0 if before is None else _size_bytes(before))
        self._values[name] = value
        while self._size_bytes > self._limit_bytes:
            _, oldest = self._values.popitem(last=False)
            self._size_bytes -= _size_bytes(oldest)


def _size_bytes(value: bytes) -> int:
    return OBJECTS_BYTES + len(value)


def _name(lookup: Lookup, beside: bytes) -> bytes:
    # A rule that cannot be read does not tell by which fields the picture varies, so all fields count.
    names = tuple(sorted({name.decode("latin-1") for name, _ in lookup.fields})) if is_rule(beside) else ()
    named = b"\0".join([lookup.key, beside, repr(names).encode(), selection(names, lookup.fields)])
    return hashlib.blake2b(named, digest_size=16).digest()
