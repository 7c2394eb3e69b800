"""A fill as values: what it sets out with and what it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from service.cache.lease import Lease
from service.cache.record import Record
from service.cache.shelf import Found, Grant
from service.cache.source import Latent, Source, Terms
from service.timings import Timings


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill came to: a record, found, confirmed or made, or a source whose picture may not be stored."""

    timings: Timings
    record: Record | None = None
    found: bool = False
    """Another fill had stored it a moment ago."""
    waited: bool = False
    """For a fill of another process."""
    stored: bool = False
    fenced: bool = False
    """Something else had come in between: a purge, or another fill."""
    grant: Grant | None = None
    """Under which it was, or is still to be stored."""
    source: Source | None = None
    """What was fetched, unless it was what the store has anyway."""
    latent: Latent | None = None
    """The same, where it came as a latent."""
    was_stale: bool = False
    """There was a record, and the origin was asked about it."""
    failed: bool = False
    """The origin gave nothing, and the stale record stands in."""
    origin_status: int | None = None
    behind: bool = False
    """Those who asked first were answered from the source; the timings are of what came after."""
    skipped: str = ""
    """Why there is no record although there may be one."""

    @property
    def is_preview(self) -> bool:
        """Whether the fill goes on."""
        return self.record is None and self.source is not None and not (self.skipped or self.source.storage.obstacle)


Show = Callable[[Filled], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One fill under one lease."""

    image_id: str
    terms: Terms
    lease: Lease
    show: Show | None
    known: Found | None = None
    """What the origin is to be asked about."""
    generation: int = 0
    grant: Grant | None = None
    """None where nothing may be stored."""
    timings: Timings = field(default_factory=Timings)

    def brought(self, source: Source | None = None, latent: Latent | None = None) -> Filled:
        """A new picture."""
        was_stale = self.known is not None
        return Filled(
            self.timings,
            grant=self.grant,
            source=source,
            latent=latent,
            was_stale=was_stale,
            origin_status=HTTPStatus.OK if was_stale else None,
        )
