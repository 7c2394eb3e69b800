"""Records that a process has unpacked before, looked up by the string in the store. No I/O, no clock.

Every hit reads the string from the store, so a purge, a renewal or a refinement takes effect at once. The record of an
unchanged string is the same record, and comparing two strings takes a hundredth of the time of unpacking one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from service.records.framing import PREFIX
from service.records.record import Record, unpack

LIMIT_BYTES = 16 * 2**20
"""Assumed: the records of a thousand pictures, as many as fill the default EDGE_HOT_BYTES with their files."""
OBJECTS_BYTES = 1200
"""Measured (tracemalloc, Python 3.11): what the objects of one record take beside its strings."""


@dataclass(frozen=True, slots=True)
class _Known:
    header: bytes
    """The string up to its bitstream, which the record holds."""
    key: bytes
    record: Record

    @property
    def size_bytes(self) -> int:
        return OBJECTS_BYTES + len(self.header) + len(self.record.bitstream)

    def is_of(self, value: bytes, key: bytes) -> bool:
        """Return whether exactly this string was unpacked: two records may have the same checksum.

        A copy under another key is another string.
        """
        bitstream = self.record.bitstream
        return (
            key == self.key
            and len(value) == len(self.header) + len(bitstream)
            and value.startswith(self.header)
            and value.endswith(bitstream)
        )


class KnownRecords:
    """The records that were read last, at most `limit_bytes` of them."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._by_checksum: OrderedDict[bytes, _Known] = OrderedDict()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._by_checksum)

    def read(self, value: bytes, key: bytes) -> Record:
        """Return the record in the string under this key. Raises as `unpack` does."""
        checksum = value[: PREFIX.size]
        known = self._by_checksum.get(checksum)
        if known is not None and known.is_of(value, key):
            self._by_checksum.move_to_end(checksum)
            return known.record
        record = unpack(value, key)
        self._keep(checksum, _Known(value.removesuffix(record.bitstream), key, record))
        return record

    def _keep(self, checksum: bytes, known: _Known) -> None:
        self._drop(checksum)
        self._by_checksum[checksum] = known
        self._size_bytes += known.size_bytes
        while self._size_bytes > self._limit_bytes:
            self._drop(next(iter(self._by_checksum)))

    def _drop(self, checksum: bytes) -> None:
        dropped = self._by_checksum.pop(checksum, None)
        if dropped is not None:
            self._size_bytes -= dropped.size_bytes
