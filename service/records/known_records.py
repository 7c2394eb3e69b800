"""A cache of unpacked records, looked up by the string in the store. No I/O, no clock.

Every hit reads the string from the store, so a purge, a renewal or a refinement takes effect at once. If the string has
not changed, its record comes from this cache: comparing two strings takes a hundredth of the time of unpacking one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from service.records.framing import PREFIX
from service.records.record import Record, unpack

FILES_PER_RECORD = 4
"""Bytes of files in memory for each byte of unpacked records (assumed). A picture has up to two files in use, of 30 kB
each, and a record of 10 kB."""
LEAST_BYTES = 2 * 2**20
"""Assumed: enough for two hundred records where few files, or none, are kept in memory."""
OBJECTS_BYTES = 1200
"""The memory of one record's Python objects, without the bytes of its strings (measured: tracemalloc, Python 3.11)."""


@dataclass(frozen=True, slots=True)
class _Known:
    header: bytes
    """The string in the store without its bitstream, which `record` holds."""
    key: bytes
    record: Record

    @property
    def size_bytes(self) -> int:
        return OBJECTS_BYTES + len(self.header) + len(self.record.bitstream)

    def is_of(self, value: bytes, key: bytes) -> bool:
        """Return whether this record was unpacked from exactly this string under this key.

        The checksum alone does not tell, because two records may have the same one.
        """
        bitstream = self.record.bitstream
        return (
            key == self.key
            and len(value) == len(self.header) + len(bitstream)
            and value.startswith(self.header)
            and value.endswith(bitstream)
        )


def records_limit(hot_bytes: int) -> int:
    """Return how many bytes of unpacked records a worker keeps that keeps `hot_bytes` of files (EDGE_HOT_BYTES)."""
    return max(hot_bytes // FILES_PER_RECORD, LEAST_BYTES)


class KnownRecords:
    """An LRU cache of unpacked records, which takes at most `limit_bytes` of memory."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._by_checksum: OrderedDict[bytes, _Known] = OrderedDict()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._by_checksum)

    def read(self, value: bytes, key: bytes) -> Record:
        """Return the record in the string `value` under `key`, unpacked now or before. Raises what `unpack` raises."""
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
