"""Decide which records of the store this edge can use, and which it leaves to edges of another release. No I/O.

A recent latent of unknown weights is left in the store, because an edge with these weights is running. Otherwise the
two edges would overwrite each other's records in turn. Stream ids have no order, so the age decides: this edge may
replace the latent when it is older than `foreign_hold_s`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.errors import DamagedRecord, ForeignRecord, RecordOfOthers
from service.reason import Reason
from service.records.known_records import LEAST_BYTES, KnownRecords
from service.records.record import Record
from service.records.store_keys import record_key
from service.records.vary_rule import is_rule, unpack_rule


@dataclass(frozen=True, slots=True)
class Books:
    """The origin and the stream ids of the records that an edge can use, and how much of them it stores."""

    origin: str
    stream_ids: frozenset[bytes]
    """The stream ids of the latents that the edge can decode with its weights."""
    foreign_hold_s: int
    """For how many seconds after its encode a latent of other weights is left in the store."""
    most_variants: int = 0
    """The maximum number of variants of one picture that are stored; 0 for no limit."""
    memory_bytes: int = LEAST_BYTES
    """How much memory the unpacked records may take."""


class RecordReader:
    """Unpacks records, and checks that this edge can use them."""

    def __init__(self, books: Books, *, now: Callable[[], float]) -> None:
        self._books = books
        self._now = now
        self._known_records = KnownRecords(books.memory_bytes)

    def read(self, value: bytes, key: bytes) -> Record:
        """Return the record in the string under this key. Raises DamagedRecord, ForeignRecord or RecordOfOthers."""
        if is_rule(value):
            unpack_rule(value, key)
            raise DamagedRecord("the key of a variant holds a vary rule instead of a record")
        record = self._known_records.read(value, key)
        if not self._belongs_under(key, record):
            raise DamagedRecord("the key holds a record of another picture")
        if record.stream_id not in self._books.stream_ids:
            raise self._foreign(record, value)
        return record

    def _belongs_under(self, key: bytes, record: Record) -> bool:
        """Return whether the key is that of the record's picture, or of a variant of it.

        A record of version 6 has a digest of its key. In an older record, only the image id tells, if it has one.
        """
        return not record.image_id or key.startswith(record_key(record.image_id, origin=self._books.origin))

    def _foreign(self, record: Record, value: bytes) -> ForeignRecord:
        message = f"the latent has the stream id {record.stream_id.hex()}, which is not one of this edge's weights"
        # The clocks of edges differ, so `filled_ms` may be in the future. Because of the absolute value, a latent that
        # is dated far in the future is not held at all.
        if abs(self._now() - record.filled_ms / 1000) < self._books.foreign_hold_s:
            return RecordOfOthers(message, reason=Reason.OTHER_WEIGHTS, value=value)
        return ForeignRecord(message)
