"""Build the parts of one worker that reach the store: its connection, its clock, the table of purges, the records."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from service.metrics.store_counts import StoreCounts
from service.records.generations import Generations
from service.records.known_records import records_limit
from service.records.last_known import LastKnown
from service.records.negative_cache import NegativeCache
from service.records.record_reader import Books
from service.records.record_store import RecordStore
from service.records.store_keys import generations_key
from service.render.picture_codec import PictureCodec
from service.rules.freshness import FreshnessRules
from service.settings.edge_settings import Settings
from service.store.connection import Connection, Timeouts
from service.store.generation_store import GenerationStore
from service.store.latent_store import LatentStore
from service.store.store_clock import StoreClock


@dataclass(frozen=True, slots=True)
class StoreParts:
    """The parts of one worker that reach the store."""

    connection: Connection
    store: LatentStore
    clock: StoreClock
    last_known: LastKnown
    generations: Generations


async def open_store(settings: Settings, counts: StoreCounts, closing: AsyncExitStack) -> StoreParts:
    """Connect to the store, and begin to follow its clock and its purges."""
    timeouts = Timeouts(timeout_s=settings.store_timeout_s, retry_s=settings.store_retry_s)
    connection = Connection(settings.redis_url, timeouts=timeouts, observer=counts)
    closing.push_async_callback(connection.close)
    generation_store = GenerationStore(connection, generations_key(settings.namespace))
    clock = StoreClock(generation_store, on_offset=counts.set_clock_offset, wall=time.time)
    closing.push_async_callback(clock.close)
    await clock.follow()
    last_known = LastKnown(settings.store_grace_s, limit_bytes=records_limit(settings.hot_bytes))
    generations = Generations(generation_store, last_known, grace_s=settings.store_grace_s)
    closing.push_async_callback(generations.close)
    generations.listen()
    store = LatentStore(connection, on_dropped=counts.count_dropped_variants)
    return StoreParts(connection, store, clock, last_known, generations)


def build_record_store(
    settings: Settings, stored: StoreParts, codec: PictureCodec, *, rules: FreshnessRules
) -> RecordStore:
    """Return the records of the origin. `codec` says which streams can be read."""
    return RecordStore(
        stored.store,
        _books(settings, codec),
        generations=stored.generations,
        last_known=stored.last_known,
        negative_cache=NegativeCache(stored.store, rules, now=stored.clock.now),
        now=stored.clock.now,
    )


def _books(settings: Settings, codec: PictureCodec) -> Books:
    return Books(
        origin=settings.namespace,
        stream_ids=frozenset(codec.readable),
        foreign_hold_s=settings.foreign_hold_s,
        most_variants=settings.variants,
        memory_bytes=records_limit(settings.hot_bytes),
    )
