"""The table of purges by tag and of all pictures, each with its generation. No I/O, no clock.

A generation is the store's wall-clock time in milliseconds, adjusted so that it never decreases and never repeats. A
record holds the latest generation of its origin when its fetch began, so every later purge has a larger generation.
After a later `hard` purge the record counts as absent, after a later `soft` purge as stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from service.records.record import Record

LATEST = "latest"
HARD, SOFT = "hard", "soft"
ONE = "one"
"""The field for a soft purge of one picture that varies. It advances `latest`; the vary rule holds the generation."""
FLOOR = "-floor"
"""The suffix of a field for all tags that a full table has dropped: older pictures with any tag count as purged."""


def field_of(tag: str | None, *, soft: bool) -> str:
    """Return the name of the table's field for a purge of `tag`, or of all pictures if `tag` is None."""
    kind = SOFT if soft else HARD
    return kind if tag is None else f"{kind}:{tag}"


@dataclass(frozen=True, slots=True)
class PurgeTable:
    """A copy of the table of purges: the generation of the latest purge for each field."""

    generations: Mapping[str, int] = field(default_factory=dict)

    @property
    def latest(self) -> int:
        """The generation of the latest purge of any kind; 0 if there was none."""
        return self.generations.get(LATEST, 0)

    def has_removed(self, record: Record) -> bool:
        """Return whether the record was hard-purged, by tag or with all pictures, after its fetch began."""
        return self._of(record, HARD) > record.generation

    def stale_since_ms(self, record: Record) -> int | None:
        """Return the generation of a later soft purge of the record, by tag or with all pictures; None if none."""
        generation = self._of(record, SOFT)
        return generation if generation > record.generation else None

    def apply(self, record: Record, *, now_s: float, stale_before: int = 0) -> Record:
        """Return the record, with its lifetime shortened to the time of a later soft purge.

        `stale_before` is the generation of a soft purge of this picture alone. The lifetime ends now at the latest,
        because a generation has the time of the store, whose clock may be ahead.
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
