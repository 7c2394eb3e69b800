"""Search for a better latent of each picture that was just stored, in the background.

    stored -> the codec searches while it is idle -> the record is overwritten, if it is still the same

The refinement number is part of the entity tag, so a client that has the first picture gets the better one when it
revalidates.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from models.picture_array import Pixels
from service.errors import CodecFailed, DecoderAway, QueueFull, StoreUnavailable
from service.metrics.latent_counts import RefinementCounts
from service.metrics.outcomes import RefinementOutcome
from service.records.record import Record, pack
from service.render.jobs import Search
from service.render.picture_codec import PictureCodec
from service.settings.quality import Quality, TargetScore
from service.store.latent_store import LatentStore

DECODES_FIRST_S = 0.05
"""Pause before a search (assumed: a search takes seconds). Requests that waited for the fill submit their decodes right
after it ends. The search must be queued after these decodes; otherwise a client would wait for the first slice of the
search."""


@dataclass(frozen=True, slots=True)
class RefineRules:
    """The operator's settings for searches after a miss: the steps of each, and the quality to keep."""

    steps: int
    quality: Quality


class Refiner:
    """Searches once for a better latent of each record that is offered. With 0 steps, it does nothing.

    A screen stream is left as it is, because no search improves it.
    """

    def __init__(
        self, rules: RefineRules, *, store: LatentStore, worker: PictureCodec, counts: RefinementCounts
    ) -> None:
        self._rules = rules
        self._store = store
        self._worker = worker
        self._counts = counts
        self._under_way: dict[bytes, asyncio.Task[None]] = {}

    def offer(self, key: bytes, record: Record, high: Pixels) -> None:
        """Start a search for the record that was just stored under `key`. `high` is its picture (344, 344, 3)."""
        if not self._rules.steps or record.is_screen:
            return
        earlier = self._under_way.get(key)
        if (
            earlier is not None and earlier.cancel()
        ):  # the search's result would be useless: the record has been replaced
            self._counts.count(RefinementOutcome.SUPERSEDED)
        task = self._under_way[key] = asyncio.create_task(self._refine(key, record, high))
        task.add_done_callback(lambda done: self._end(key, done))

    async def close(self) -> None:
        """Cancel all searches and wait until they have ended."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refine(self, key: bytes, record: Record, high: Pixels) -> None:
        await asyncio.sleep(DECODES_FIRST_S)
        self._counts.count(await self._outcome(key, record, high))

    async def _outcome(self, key: bytes, record: Record, high: Pixels) -> RefinementOutcome:
        try:
            bitstream = await self._worker.refine(high, self._search(record))
            if bitstream is None or bitstream == record.bitstream:
                return RefinementOutcome.UNCHANGED
            better = replace(record, bitstream=bitstream, refinement=self._rules.steps)
            if not await self._store.replace(key, pack(better, key), instead_of=pack(record, key)):
                return RefinementOutcome.SUPERSEDED
        except (CodecFailed, DecoderAway, StoreUnavailable):
            return RefinementOutcome.FAILED
        except QueueFull:
            return RefinementOutcome.REFUSED
        self._counts.add_bytes(first_bytes=len(record.bitstream), refined_bytes=len(bitstream))
        return RefinementOutcome.STORED

    def _search(self, record: Record) -> Search:
        target = self._rules.quality if isinstance(self._rules.quality, TargetScore) else None
        return Search(quality=record.quality, steps=self._rules.steps, target=target)

    def _end(self, key: bytes, task: asyncio.Task[None]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            task.result()
