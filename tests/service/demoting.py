"""Demotes the records of a store, one round at a time, with the real codec."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import redis

from service.demotion.candidates import DemotionAim
from service.demotion.demoter import Demoter, DemotionRules
from service.metrics.telemetry import Telemetry
from service.records.generations import Generations
from service.records.last_known import LastKnown
from service.records.record import Record, unpack
from service.records.store_keys import generations_key, record_key
from service.render.codec_worker import CodecWorker
from service.render.picture_codec import PictureCodec
from service.store.connection import Connection, Timeouts
from service.store.generation_store import GenerationStore
from service.store.latent_store import LatentStore

TTL_MS = 600_000
ALWAYS = 1e-9
"""A share of the memory that every store is above."""
Act = Callable[[], object]


class Interrupted:
    """The real codec, but something happens to the store just before a medium latent is made."""

    def __init__(self, worker: CodecWorker, act: Act) -> None:
        self._worker = worker
        self._act = act

    async def demote(self, bitstream: bytes, *, quality: int) -> bytes:
        acted = self._act()
        if isinstance(acted, Awaitable):
            await acted
        return await self._worker.demote(bitstream, quality=quality)


@dataclass(frozen=True)
class Demoting:
    """A store, the origin of its records, and the codec that demotes them."""

    store: redis.Redis
    url: str
    origin: str
    worker: CodecWorker
    telemetry: Telemetry = field(default_factory=Telemetry)

    def key(self, image_id: str) -> bytes:
        return record_key(image_id, origin=self.origin)

    def record(self, image_id: str = "cat") -> Record:
        key = self.key(image_id)
        value = self.store.get(key)
        assert isinstance(value, bytes)
        return unpack(value, key)

    def cool(self, key: bytes, *, frequency: int | None = 0, idletime: int | None = None) -> None:
        """Let the store count so few uses of a key."""
        dump = self.store.dump(key)
        assert isinstance(dump, bytes)
        self.store.restore(key, self.store.pttl(key), dump, replace=True, frequency=frequency, idletime=idletime)

    def demote(self, *image_ids: str) -> None:
        """Cool these pictures and demote them. No other one may be cold."""
        for image_id in image_ids:
            self.cool(self.key(image_id))
        assert self.work() == len(image_ids)

    def work(self, *, share: float = ALWAYS, act: Act | None = None) -> int:
        """Return how many records one round has demoted."""
        return asyncio.run(self._work(share, act))

    def outcomes(self) -> dict[str, int]:
        """Count what became of records that were chosen, without what none became."""
        samples = [sample for metric in self.telemetry.collect() for sample in metric.samples]
        counts = {one.labels["outcome"]: int(one.value) for one in samples if one.name == "edge_demotions_total"}
        return {outcome: count for outcome, count in counts.items() if count}

    async def _work(self, share: float, act: Act | None) -> int:
        async with self.demoter(share=share, act=act) as demoter:
            return await demoter.work()

    @asynccontextmanager
    async def demoter(self, *, share: float = ALWAYS, act: Act | None = None) -> AsyncIterator[Demoter]:
        timeouts = Timeouts(timeout_s=30, retry_s=0)
        connection = Connection(self.url, timeouts=timeouts, observer=self.telemetry.store)
        generation_store = GenerationStore(connection, generations_key(self.origin))
        worker = self.worker if act is None else Interrupted(self.worker, act)
        demoter = Demoter(
            DemotionRules(
                share=share,
                per_minute=1e6,
                aim=DemotionAim(origin=self.origin, stream_id=self.worker.names.stream_id),
            ),
            store=LatentStore(connection),
            generations=Generations(generation_store, LastKnown(0)),
            worker=cast("PictureCodec", worker),
            counts=self.telemetry.demotions,
        )
        try:
            yield demoter
        finally:
            await demoter.close()
            await connection.close()
