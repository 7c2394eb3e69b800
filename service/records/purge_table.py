"""The table of purges by tag and of all pictures, each with its generation. No I/O, no clock.

A generation is a wall clock in milliseconds that never falls and never repeats. All purges of one origin share it. A
record holds the latest generation from before the origin was asked, so each later purge is newer: a `hard` one counts
the record as absent, a `soft` one as stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from service.records.record import Record

LATEST = "latest"
HARD, SOFT = "hard", "soft"
ONE = "one"
"""For purges of single pictures, which have their own generation beside the record: this only raises `latest`."""
FLOOR = "-floor"
"""For tags that were dropped from a full table: pictures with tags that are older than this count as purged."""


def field_of(tag: str | None, *, soft: bool) -> str:
    """Return the name of the table's field for a tag, or for all pictures."""
    kind = SOFT if soft else HARD
    return kind if tag is None else f"{kind}:{tag}"


@dataclass(frozen=True, slots=True)
class PurgeTable:
    """The table as it was read."""

    generations: Mapping[str, int] = field(default_factory=dict)

    @property
    def latest(self) -> int:
        """The generation of the latest purge of any kind; 0 for none at all."""
        return self.generations.get(LATEST, 0)

    def has_removed(self, record: Record) -> bool:
        """Return whether a hard purge came after the record."""
        return self._of(record, HARD) > record.generation

    def stale_since_ms(self, record: Record) -> int | None:
        """Return the generation of the soft purge that came after the record, or None."""
        generation = self._of(record, SOFT)
        return generation if generation > record.generation else None

    def apply(self, record: Record, *, now_s: float, stale_before: int = 0) -> Record:
        """Return the record with a lifetime that ends at the soft purge, or now at the latest.

        A purge has the store's clock, which may be ahead of this one. `stale_before` is this picture's own soft purge.
        """
        since_ms = max(self.stale_since_ms(record) or 0, stale_before)
        if since_ms <= record.generation:
            return record
        age_then_s = int((min(since_ms, now_s * 1000) - record.born_ms) // 1000)
        return replace(record, lifetime_s=max(0, min(record.lifetime_s, age_then_s)))

    def _of(self, record: Record, kind: str) -> int:
        latest = self.generations.get(kind, 0)
        if not record.tags:
            return latest
        fields = [kind + FLOOR, *(f"{kind}:{tag}" for tag in record.tags)]
        return max(latest, *(self.generations.get(one, 0) for one in fields))
