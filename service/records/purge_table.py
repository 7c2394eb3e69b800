"""Which pictures have been purged by tag, or all together, and when: a table of generations. No I/O, no clock.

A generation is a wall clock in milliseconds that never falls and never repeats, one for all purges of an origin. A
record bears the latest generation from before its origin was asked, so whatever was purged since is newer than it:
`hard` means that the record is as good as absent, `soft` that it is stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from service.records.record import Record

LATEST = "latest"
HARD, SOFT = "hard", "soft"
ONE = "one"
"""Of single pictures: the generation of each stands beside it, and this only lets the latest rise."""
FLOOR = "-floor"
"""Of tags that the table has no room for any more: pictures with tags that are older than this count as purged."""


def field_of(tag: str | None, *, soft: bool) -> str:
    """The table's field of a tag, or of all pictures."""
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
        """Whether the record is as good as absent."""
        return self._of(record, HARD) > record.generation

    def stale_since_ms(self, record: Record) -> int | None:
        """When the record was declared stale, if it was."""
        generation = self._of(record, SOFT)
        return generation if generation > record.generation else None

    def applied(self, record: Record, *, now_s: float, stale_before: int = 0) -> Record:
        """The record as it is to be judged: its lifetime ends with a soft purge, now at the latest.

        The purge has the clock of the store, which may be ahead of ours. `stale_before` is that of this picture alone.
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
