"""Decide which records of the store this edge can use, and which it leaves to edges of another release. No I/O.

A recent latent of weights that this edge does not have is left in the store: another edge that has them is at work, and
otherwise the two would overwrite each other's records. Stream ids have no order, so age decides: this edge may replace
the latent once it is older than `foreign_hold_s`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.errors import DamagedRecord, ForeignRecord, RecordOfOthers
from service.reason import Reason
from service.records.known_records import KnownRecords
from service.records.record import Record, record_key
from service.records.vary_rule import is_rule, unpack_rule


@dataclass(frozen=True, slots=True)
class Books:
    """Which records an edge can use."""

    origin: str
    stream_ids: frozenset[bytes]
    """The stream ids of its weights."""
    foreign_hold_s: int
    """For how long after its encode a latent of other weights is left in the store."""


class RecordReader:
    """Reads the records of one process's edge."""

    def __init__(self, books: Books, *, now: Callable[[], float]) -> None:
        self._books = books
        self._now = now
        self._known_records = KnownRecords()

    def read(self, value: bytes, key: bytes) -> Record:
        """Return the record in the string under this key. Raises DamagedRecord, ForeignRecord or RecordOfOthers."""
        if is_rule(value):
            unpack_rule(value, key)
            raise DamagedRecord("a rule in place of a record")
        record = self._known_records.read(value, key)
        if not self._belongs_under(key, record):
            raise DamagedRecord("a record of another picture")
        if record.stream_id not in self._books.stream_ids:
            raise self._foreign(record, value)
        return record

    def _belongs_under(self, key: bytes, record: Record) -> bool:
        """Return whether the key is that of the record's picture, or of a variant of it.

        Version 6 is bound to its key by a digest. Before that only the id tells, where the record has one.
        """
        return not record.image_id or key.startswith(record_key(record.image_id, origin=self._books.origin))

    def _foreign(self, record: Record, value: bytes) -> ForeignRecord:
        message = f"stream id {record.stream_id.hex()}"
        # Clocks differ: a date that is far ahead makes a latent no younger than one that is as far behind.
        if abs(self._now() - record.filled_ms / 1000) < self._books.foreign_hold_s:
            return RecordOfOthers(message, reason=Reason.OTHER_WEIGHTS, value=value)
        return ForeignRecord(message)
