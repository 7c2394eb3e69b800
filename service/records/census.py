"""Estimate what the store holds from a random sample of its keys, for metrics and dashboards. Nothing is changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from service.errors import RecordError, StoreUnavailable
from service.metrics.store_counts import StoreCounts, StoreFigures
from service.records.negative_entry import is_negative_entry
from service.records.record import Record, unpack
from service.records.store_keys import KEY_PREFIX
from service.records.vary_rule import is_rule
from service.store.latent_store import LatentStore
from service.store.random_sample import Sample, StoredValue

SAMPLE = 64  # assumed: the mean size of 64 sampled records is within 10 % of the mean size of all records
GOOD_FOR_S = 2.0  # a census is reused for 2 s; assumed: dashboards poll every few seconds, and several may be open


@dataclass(frozen=True, slots=True)
class StoreCensus:
    """An estimate of what the store holds. Bytes are memory as the store counts it, including keys."""

    answers: bool
    objects: int = 0
    screens: int = 0
    """The pictures that are kept as screen streams, among the objects."""
    latent_bytes: int = 0
    conventional_bytes: int = 0
    used_bytes: int = 0
    limit_bytes: int = 0
    evicted: int = 0
    overhead_bytes: int = 0
    """The mean memory of a record beside its latent: key, header fields, and what the store adds."""


class Census:
    """Takes a census of the store on demand, at most one in GOOD_FOR_S seconds."""

    def __init__(self, store: LatentStore, counts: StoreCounts, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._counts = counts
        self._clock = clock
        self._looking = asyncio.Lock()
        self._latest = StoreCensus(answers=False)
        self._good_until_s = float("-inf")

    async def take(self) -> StoreCensus:
        """Return the latest census, or a new one if it is older than GOOD_FOR_S. A new one also sets the gauges."""
        async with self._looking:
            if self._clock() >= self._good_until_s:
                self._latest = await self._look()
                self._good_until_s = self._clock() + GOOD_FOR_S
            return self._latest

    async def _look(self) -> StoreCensus:
        try:
            sample = await self._store.sample(prefix=KEY_PREFIX, size=SAMPLE)
        except StoreUnavailable:
            return StoreCensus(answers=False)
        census = estimate(sample)
        self._counts.set_figures(
            StoreFigures(
                objects=census.objects,
                screens=census.screens,
                latent_bytes=census.latent_bytes,
                conventional_bytes=census.conventional_bytes,
            )
        )
        return census


def estimate(sample: Sample) -> StoreCensus:
    """Return an estimate of the whole store, scaled up from a sample."""
    records = [(stored, record) for stored in sample.values if (record := _readable(stored)) is not None]
    # Negative cache entries and vary rules have keys with the same prefix, but hold no picture.
    seen = len(records) + sum(is_negative_entry(stored.value) or is_rule(stored.value) for stored in sample.values)
    scale = sample.objects / seen if seen else 0.0
    return StoreCensus(
        answers=True,
        objects=sample.objects,
        screens=round(scale * sum(record.is_screen for _, record in records)),
        latent_bytes=round(scale * sum(stored.memory_bytes for stored, _ in records)),
        conventional_bytes=round(scale * sum(_conventional_bytes(stored, record) for stored, record in records)),
        used_bytes=sample.used_bytes,
        limit_bytes=sample.limit_bytes,
        evicted=sample.evicted_total,
        overhead_bytes=_mean(stored.memory_bytes - len(record.bitstream) for stored, record in records),
    )


def _mean(values: Iterable[int]) -> int:
    known = list(values)
    return round(sum(known) / len(known)) if known else 0


def _readable(stored: StoredValue) -> Record | None:
    try:
        return unpack(stored.value, stored.key)
    except RecordError:
        return None


def _conventional_bytes(stored: StoredValue, record: Record) -> int:
    # A conventional edge would store two files under two keys, so the store's overhead for a key counts twice.
    overhead_bytes = max(0, stored.memory_bytes - len(stored.value))
    return record.conventional_high_bytes + record.conventional_medium_bytes + 2 * overhead_bytes
