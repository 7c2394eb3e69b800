"""Records that a process keeps in its own memory, while the store holds another release's record. No I/O, no clock.

Each record is looked up by its key and by the string in the store, which the caller has just read. So when that string
is purged, renewed or replaced, the record in memory is not found any more.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from service.records.lookup import Lookup
from service.records.vary_rule import is_rule
from service.rules.vary import selection

LIMIT_BYTES = 16 * 2**20
"""Assumed: enough for a thousand pictures, the most requested ones during a roll-out."""
OBJECTS_BYTES = 170
"""The memory of the Python objects for one string, without its bytes (measured: tracemalloc, Python 3.11)."""


class OwnRecords:
    """An LRU cache of packed records, which takes at most `limit_bytes` of memory."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._values: OrderedDict[bytes, bytes] = OrderedDict()
        self._size_bytes = 0

    def get(self, lookup: Lookup, beside: bytes) -> bytes | None:
        """Return the packed record for this lookup while the store holds `beside`; None if there is none."""
        name = _name(lookup, beside)
        value = self._values.get(name)
        if value is not None:
            self._values.move_to_end(name)
        return value

    def put(self, lookup: Lookup, beside: bytes, value: bytes) -> None:
        """Keep a packed record for this lookup while the store holds `beside`. It replaces an earlier one."""
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
    # If `beside` is a vary rule, it is of another release and cannot be read. Then the fields by which the picture
    # varies are unknown, so the record is looked up by all fields of the request.
    names = tuple(sorted({name.decode("latin-1") for name, _ in lookup.fields})) if is_rule(beside) else ()
    named = b"\0".join([lookup.key, beside, repr(names).encode(), selection(names, lookup.fields)])
    return hashlib.blake2b(named, digest_size=16).digest()
