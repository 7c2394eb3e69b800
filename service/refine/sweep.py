"""A sweep through a filled store that replaces latents by better ones. Edges may serve from the store meanwhile.

    key, hottest first -> record worth a search -> its source, if it is still the same file -> search
                       -> the record is overwritten, if it is still the same

If a purge, a fill or another search has changed the record meanwhile, the sweep leaves the record as it is. The new
record keeps the expiry, the dates and the purge generation of the old one. If an edge only renewed the dates, the new
record has the renewed dates. An interrupted sweep can be started again: it skips latents that an earlier search has
improved with at least as many steps.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from service.errors import CodecFailed, DecoderAway, RecordError
from service.metrics.outcomes import SweepOutcome
from service.records.purge_table import PurgeTable
from service.records.record import Record, pack
from service.refine.candidates import SweepAim, candidate
from service.refine.unchanged_source import UnchangedSources
from service.render.jobs import Search
from service.render.picture_codec import PictureCodec
from service.store.generation_store import GenerationStore
from service.store.latent_store import LatentStore

FAILURES = 3
"""Number of pictures in a row that the codec fails to improve until the sweep ends (assumed): each costs a fetch."""

ATTEMPTS = 2
"""The attempts to write a better latent (assumed). One fails if an edge renews the dates meanwhile, which is rare."""


@dataclass(slots=True)
class SweepTally:
    """The result of a sweep so far: the number of keys by outcome, and the bytes of improved latents."""

    outcomes: Counter[SweepOutcome] = field(default_factory=Counter)
    first_bytes: int = 0
    """The total size of the replaced latents."""
    refined_bytes: int = 0
    """The total size of the better latents that replaced them."""

    def add_replaced(self, *, first_bytes: int, refined_bytes: int) -> None:
        """Add the sizes of a replaced latent and of its replacement."""
        self.first_bytes += first_bytes
        self.refined_bytes += refined_bytes


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A record whose latent the sweep should improve, with its key and its string in the store."""

    key: bytes
    value: bytes
    record: Record


class Sweep:
    """One sweep over the records of one origin."""

    def __init__(
        self,
        aim: SweepAim,
        *,
        store: LatentStore,
        generations: GenerationStore,
        sources: UnchangedSources,
        worker: PictureCodec,
    ) -> None:
        self._aim = aim
        self._store = store
        self._generations = generations
        self._sources = sources
        self._worker = worker
        self._choosing = asyncio.Lock()
        self._purges = PurgeTable()
        self._failures = 0
        self.tally = SweepTally()

    async def run(self, keys: Sequence[bytes], *, at_once: int, done: Callable[[], None]) -> None:
        """Work through the keys in order, on `at_once` pictures at a time. Call `done` after each key.

        Raises StoreUnavailable, or CodecFailed or DecoderAway after FAILURES failed searches in a row.
        """
        left = iter(keys)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(self._work(left, done))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _work(self, left: Iterator[bytes], done: Callable[[], None]) -> None:
        while (chosen := await self._next(left, done)) is not None:
            self._count(await self._improve(chosen), done)

    async def _next(self, left: Iterator[bytes], done: Callable[[], None]) -> _Chosen | None:
        async with self._choosing:  # one task chooses at a time, so that the hottest pictures are fetched first
            for key in left:
                looked = await self._look(key)
                if isinstance(looked, _Chosen):
                    return looked
                self._count(looked, done)
        return None

    async def _look(self, key: bytes) -> _Chosen | SweepOutcome:
        try:
            value = await self._store.peek(key)
        except RecordError:
            return SweepOutcome.DAMAGED
        if value is None:
            return SweepOutcome.GONE
        record = candidate(key, value, aim=self._aim, purges=await self._current_purges())
        return record if isinstance(record, SweepOutcome) else _Chosen(key, value, record)

    async def _improve(self, chosen: _Chosen) -> SweepOutcome:
        high = await self._sources.high(chosen.record)
        if isinstance(high, SweepOutcome):
            return high
        try:
            found = await self._worker.refine(high, self._search(chosen.record))
        except (CodecFailed, DecoderAway):
            self._failures += 1
            if self._failures >= FAILURES:
                raise
            return SweepOutcome.FAILED
        self._failures = 0
        return await self._replace(chosen, found or chosen.record.bitstream)

    async def _replace(self, chosen: _Chosen, found: bytes) -> SweepOutcome:
        for _ in range(ATTEMPTS):
            now = await self._look(chosen.key)
            if not isinstance(now, _Chosen) or not _holds_the_same_latent(now.record, chosen.record):
                break
            # The steps are stored even if nothing better was found, so that the next sweep skips this record.
            better = replace(now.record, bitstream=found, refinement=self._aim.steps)
            if await self._store.replace(now.key, pack(better, now.key), instead_of=now.value):
                return self._conclude(chosen.record.bitstream, found)
        return SweepOutcome.SUPERSEDED

    def _conclude(self, first: bytes, found: bytes) -> SweepOutcome:
        if found == first:
            return SweepOutcome.UNCHANGED
        self.tally.add_replaced(first_bytes=len(first), refined_bytes=len(found))
        return SweepOutcome.STORED

    def _search(self, record: Record) -> Search:
        return Search(quality=record.quality, steps=self._aim.steps, target=self._aim.target)

    def _count(self, outcome: SweepOutcome, done: Callable[[], None]) -> None:
        self.tally.outcomes[outcome] += 1
        done()

    async def _current_purges(self) -> PurgeTable:
        """Return the table of purges, read again if it has changed. If the store has lost it, edges restore it."""
        if await self._generations.latest() != self._purges.latest:
            self._purges = PurgeTable(await self._generations.table())
        return self._purges


def _holds_the_same_latent(now: Record, known: Record) -> bool:
    return (now.source_digest, now.bitstream) == (known.source_digest, known.bitstream)
