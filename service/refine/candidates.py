"""Decide for which stored records a sweep should search a better latent. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import DamagedRecord, ForeignRecord
from service.metrics.outcomes import SweepOutcome
from service.records.demoted import is_demoted
from service.records.negative_entry import is_negative_entry
from service.records.purge_table import PurgeTable
from service.records.record import Record, unpack
from service.records.store_keys import record_key
from service.records.vary_rule import is_rule
from service.settings.quality import TargetScore

VARIANT_MARK = b"}:"
"""The bytes that the keys of all variants contain, and no other keys (see records/lookup.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepAim:
    """The aim of a sweep: the origin and the weights whose records it improves, and the steps of each search."""

    origin: str
    stream_id: bytes
    """The stream id of the weights in use."""
    steps: int
    target: TargetScore | None = None
    """The SSIMULACRA2 score that each picture must still reach; None if encodes have a fixed quality."""


def candidate(key: bytes, value: bytes, *, aim: SweepAim, purges: PurgeTable) -> Record | SweepOutcome:
    """Return the record of this key if the sweep should improve it, or else the outcome that says why not."""
    if (other := _other_kind(key, value)) is not None:
        return other
    try:
        record = unpack(value, key)
    except ForeignRecord:
        return SweepOutcome.FOREIGN
    except DamagedRecord:
        return SweepOutcome.DAMAGED
    return _obstacle(key, record, aim, purges) or record


def _other_kind(key: bytes, value: bytes) -> SweepOutcome | None:
    if is_negative_entry(value):
        return SweepOutcome.REFUSAL
    if is_rule(value):
        return SweepOutcome.VARY_RULE
    return SweepOutcome.VARIANT if VARIANT_MARK in key else None


def _obstacle(key: bytes, record: Record, aim: SweepAim, purges: PurgeTable) -> SweepOutcome | None:
    if not record.image_id:
        return SweepOutcome.WITHOUT_ID
    if record_key(record.image_id, origin=aim.origin) != key:
        return SweepOutcome.OTHER_ORIGIN
    if (obstacle := _obstacle_of_stream(record, aim)) is not None:
        return obstacle
    if purges.has_removed(record):
        return SweepOutcome.PURGED
    return SweepOutcome.SEARCHED if record.refinement >= aim.steps else None


def _obstacle_of_stream(record: Record, aim: SweepAim) -> SweepOutcome | None:
    if is_demoted(record):
        return SweepOutcome.DEMOTED
    if record.is_screen:
        return SweepOutcome.SCREEN
    return SweepOutcome.FOREIGN if record.stream_id != aim.stream_id else None
