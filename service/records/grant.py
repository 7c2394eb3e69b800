"""What a lookup has found, and the permission to store another record there. Values only, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from service.records.lookup import Lookup
from service.records.record import Record
from service.store.latent_store import Token


@dataclass(frozen=True, slots=True)
class Found:
    """A record that can be used, and where it was found."""

    lookup: Lookup
    record: Record
    """The record, with its lifetime shortened by soft purges (see `PurgeTable.apply`)."""
    value: bytes
    """The string in the store when the record was found."""
    is_own: bool = False
    """Whether only this process has the record in memory, while the store holds another release's record."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The permission to store one picture: a lease, its lookup, and the latest purge when the origin was asked."""

    token: Token | None
    lookup: Lookup
    generation: int
    beside: bytes = b""
    """The string of another release, which stays in the store. Then there is no `token`, and the record is kept in this
    process's memory (see `own_records`)."""


@dataclass(frozen=True, slots=True)
class PurgePoint:
    """Names the latest purges at one moment. If two points differ, the picture may have been purged in between."""

    mark: bytes
    """The mark that the latest purge of this picture by its id has set; empty if there was none."""
    generation: int
    """The generation of the latest purge by tag or of all pictures. It may be a second old, because such a purge waits
    for a second before it is answered."""
