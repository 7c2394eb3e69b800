"""Decide which cold records to demote. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import RecordError
from service.records.purge_table import PurgeTable
from service.records.record import Record, read_stream_id, unpack
from service.records.store_keys import record_key
from service.store.cold_sample import ColdString


@dataclass(frozen=True, slots=True, kw_only=True)
class DemotionAim:
    """The records that an edge may demote: records of its origin whose latents its weights can decode."""

    origin: str
    stream_id: bytes
    """The stream id of high latents of the weights in use."""


def holds_high_latent(cold: ColdString, aim: DemotionAim) -> bool:
    """Return whether, by its first bytes, the string is a record with a high latent of the weights in use."""
    return read_stream_id(cold.head) == aim.stream_id


def candidate(key: bytes, value: bytes, *, aim: DemotionAim, purges: PurgeTable) -> Record | None:
    """Return the record in the string under this key, or None if it must not be demoted."""
    try:
        record = unpack(value, key)
    except RecordError:
        return None
    if record.stream_id != aim.stream_id or purges.has_removed(record):
        return None
    # The key of a variant begins with the key of its picture. A record without an image id may be of another origin.
    is_ours = bool(record.image_id) and key.startswith(record_key(record.image_id, origin=aim.origin))
    return record if is_ours else None
