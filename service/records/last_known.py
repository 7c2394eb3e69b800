"""The records that the store has confirmed last, for the time of an outage. No I/O.

The store alone knows whether a picture has been purged. So a record counts for a short time after the store has last
confirmed it, and only until this process hears of a purge.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service.records.known_records import LEAST_BYTES
from service.records.lookup import Lookup
from service.records.record import Record
from service.records.vary_rule import VaryRule

OBJECTS_BYTES = 1200
"""Assumed: as in `known_records`."""
RULES = 4096  # assumed: some hundred kilobytes


@dataclass(frozen=True, slots=True)
class _Confirmed:
    record: Record
    at_s: float

    @property
    def size_bytes(self) -> int:
        return OBJECTS_BYTES + len(self.record.bitstream)


class LastKnown:
    """The records of one process. With a grace time of 0 s there are none.

    `limit_bytes` is best that of `KnownRecords`: both hold the same objects for the pictures that were asked for last.
    """

    def __init__(
        self, grace_s: float, *, limit_bytes: int = LEAST_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._grace_s = grace_s
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._confirmed: OrderedDict[bytes, _Confirmed] = OrderedDict()
        self._rules: OrderedDict[bytes, VaryRule] = OrderedDict()
        self._size_bytes = 0
        self.purges = 0
        """How many purges by id were heard of so far."""

    def note(self, lookup: Lookup, record: Record) -> None:
        """Remember that the store has just had this record, unless a purge was heard of since the lookup began."""
        if not self._grace_s or lookup.purges != self.purges:
            return
        self._drop(lookup.key)
        self._note_rule(lookup)
        confirmed = self._confirmed[lookup.key] = _Confirmed(record, self._clock())
        self._size_bytes += confirmed.size_bytes
        while self._size_bytes > self._limit_bytes:
            self._drop(next(iter(self._confirmed)))

    def recall(self, lookup: Lookup) -> Record | None:
        """Return the record of a picture, or of the variant that was asked for, if it still counts."""
        confirmed = self._confirmed.get(lookup.under(self._rules.get(lookup.home)).key)
        if confirmed is None or self._clock() - confirmed.at_s > self._grace_s:
            return None
        return confirmed.record

    def drop(self, lookup: Lookup) -> None:
        """Forget a record, because the store has it no more."""
        self._drop(lookup.key)
        self._drop(lookup.home)

    def forget(self, home: bytes) -> None:
        """Forget a picture with its variants, because it was purged."""
        self.purges += 1
        self._rules.pop(home, None)
        self._drop(home)

    def forget_all(self) -> None:
        """Forget all pictures, because any of them may have been purged."""
        self.purges += 1
        self._rules.clear()
        self._confirmed.clear()
        self._size_bytes = 0

    def _note_rule(self, lookup: Lookup) -> None:
        self._rules.pop(lookup.home, None)
        if lookup.rule is not None:
            self._rules[lookup.home] = lookup.rule
        if len(self._rules) > RULES:
            self._rules.popitem(last=False)

    def _drop(self, key: bytes) -> None:
        dropped = self._confirmed.pop(key, None)
        if dropped is not None:
            self._size_bytes -= dropped.size_bytes
