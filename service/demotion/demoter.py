"""Demote cold records in the background while the store is nearly full: a medium latent replaces the high one.

    a server of the store is full above the share -> lease, so that one edge at a time works
        -> random sample of its keys -> the coldest high latents, by the server's own counters
        -> medium latent, made while the codec is idle
        -> compare and swap: overwrite exactly that record, or nothing

If a purge, a fill, a renewal or a search changes the record meanwhile, that change is kept. If the edge dies in
between, the store holds either the old record or the new one.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.demotion.candidates import DemotionAim, candidate, holds_high_latent
from service.errors import CodecFailed, DamagedBitstream, DecoderAway, QueueFull, RecordError, StoreUnavailable
from service.metrics.latent_counts import DemotionCounts
from service.metrics.outcomes import DemotionOutcome
from service.records.demoted import demoted
from service.records.generations import Generations
from service.records.heartbeat import LEASE_MS, Heartbeat
from service.records.record import STREAM_ID_END, Record, pack
from service.records.store_keys import KEY_PREFIX, demotion_key
from service.refine.pace import BackOff
from service.render.picture_codec import PictureCodec
from service.store.latent_store import LatentStore, Token

Sleep = Callable[[float], Awaitable[object]]
EVERY_S = 2.0
"""The pause between two checks of the store's memory (assumed): a store takes longer to fill its free share."""
BATCH = 16
"""The largest number of records to demote from one sample (assumed): the coldest quarter of it."""
IDLE_WAIT_S = 60.0
"""The longest wait for the codec to be idle (assumed). Then an edge that has less to do may take the lease."""
SECRET_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DemotionRules:
    """The operator's settings: the share of the store's memory above which records are demoted, and the rate."""

    share: float
    per_minute: float
    aim: DemotionAim


class Demoter:
    """Demotes cold records, from `start` until `close`."""

    def __init__(
        self,
        rules: DemotionRules,
        *,
        store: LatentStore,
        generations: Generations,
        worker: PictureCodec,
        counts: DemotionCounts,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._rules = rules
        self._store = store
        self._heartbeat = Heartbeat(store)
        self._generations = generations
        self._worker = worker
        self._counts = counts
        self._sleep = sleep
        self._back_off = BackOff(sleep=sleep)
        self._warned_of = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start demoting in the background."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop, and wait until the work in progress is cancelled."""
        # A redis-py client may lose a cancellation: see `Generations.close`.
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.1)

    async def work(self) -> int:
        """Demote the coldest records of one sample, if the store is nearly full. Return how many were demoted.

        Raises StoreUnavailable.
        """
        cold = await self._store.sample_cold(prefix=KEY_PREFIX, above=self._rules.share, head_bytes=STREAM_ID_END)
        self._warn(cold.unsupported_policy)
        keys = [one.key for one in cold.strings if holds_high_latent(one, self._rules.aim)]
        if not keys:
            return 0
        token = Token(demotion_key(self._rules.aim.origin), secrets.token_bytes(SECRET_BYTES))
        if await self._store.take(token, ttl_ms=LEASE_MS) != token.secret:
            return 0
        try:
            with self._heartbeat.renewing(token):
                return await self._demote_all(keys[:BATCH])
        finally:
            await self._store.give_back(token)

    async def _run(self) -> None:
        while True:
            try:
                count = await self.work()
            except (StoreUnavailable, RecordError):  # the connection has logged and counted it
                self._back_off.record_failure()
                await self._back_off.wait()
                count = 0
            else:
                self._back_off.reset()
            if not count:
                await self._sleep(EVERY_S)

    async def _demote_all(self, keys: list[bytes]) -> int:
        stored = 0
        for key in keys:
            outcome = await self._outcome(key)
            self._counts.count(outcome)
            stored += outcome is DemotionOutcome.STORED
            if outcome in {DemotionOutcome.REFUSED, DemotionOutcome.FAILED}:
                break
            # The pause is under the lease, so that the rate holds for all edges together.
            await self._sleep(60 / self._rules.per_minute)
        return stored

    async def _outcome(self, key: bytes) -> DemotionOutcome:
        value = await self._store.peek(key)
        purges = await self._generations.current()
        record = None if value is None else candidate(key, value, aim=self._rules.aim, purges=purges)
        if value is None or record is None:
            return DemotionOutcome.SKIPPED
        try:
            async with asyncio.timeout(IDLE_WAIT_S):
                bitstream = await self._worker.demote(record.bitstream, quality=record.quality)
        except (TimeoutError, DecoderAway, QueueFull):
            return DemotionOutcome.REFUSED
        except (CodecFailed, DamagedBitstream):
            return DemotionOutcome.FAILED
        return await self._replace(key, value, record, bitstream)

    async def _replace(self, key: bytes, value: bytes, record: Record, bitstream: bytes) -> DemotionOutcome:
        if len(bitstream) >= len(record.bitstream):
            return DemotionOutcome.NOT_SMALLER
        if not await self._store.replace(key, pack(demoted(record, bitstream), key), instead_of=value):
            return DemotionOutcome.SUPERSEDED
        self._counts.add_bytes(high_bytes=len(record.bitstream), medium_bytes=len(bitstream))
        return DemotionOutcome.STORED

    def _warn(self, unsupported_policy: str) -> None:
        """Log once that the store's eviction policy allows no demotion."""
        if unsupported_policy and unsupported_policy != self._warned_of:
            logging.getLogger(__name__).warning(
                "no records are demoted: with its maxmemory-policy %s, the store does not tell which keys are cold; "
                "EDGE_DEMOTE needs an lfu or lru policy, or noeviction",
                unsupported_policy,
            )
        self._warned_of = unsupported_policy
