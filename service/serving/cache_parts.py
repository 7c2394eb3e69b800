"""Build the parts of one worker that answer requests: hits, flights, fills, re-encodes and finished files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass

from service.cache.admission import Admission
from service.cache.after_fill import AfterFill
from service.cache.after_hit import AfterHit
from service.cache.bypass import Bypass
from service.cache.edge_cache import EdgeCache
from service.cache.encoder import Encoder, EncodeRules
from service.cache.fill import Filler
from service.cache.fill_storage import FillStorage
from service.cache.flights import Flights
from service.cache.hold_off import HoldOff
from service.cache.picture_files import PictureFiles
from service.cache.picture_state import PictureStates
from service.cache.previews import Previews
from service.cache.promotion import Promotion
from service.cache.record_answers import RecordAnswers
from service.cache.reencoder import NewLatents, Reencoder
from service.cache.s3_fifo import S3Fifo
from service.cache.stale_wait import StaleRules
from service.metrics.telemetry import Telemetry
from service.records.lease import Leases
from service.records.record_store import RecordStore
from service.records.turns import TOGETHER, Turns
from service.refine.pace import Pace
from service.refine.refiner import Refiner, RefineRules
from service.render.picture_codec import PictureCodec
from service.settings.edge_settings import Settings
from service.settings.quality import Quality
from service.store.latent_store import LatentStore
from service.upstream.upstream import Upstream

FILE_THREADS = 2


@dataclass(frozen=True, slots=True)
class Foundation:
    """The parts that answers to requests are built on."""

    store: LatentStore
    records: RecordStore
    sources: Upstream
    codec: PictureCodec
    quality: Quality
    telemetry: Telemetry
    now: Callable[[], float]


def build_cache(settings: Settings, base: Foundation, closing: AsyncExitStack) -> EdgeCache:
    """Return the cache that answers requests. Its background searches and encodes end with `closing`."""
    leases, hold_off, encoder = _leases(settings, base.store), HoldOff(settings.hold_off_s), _encoder(settings, base)
    refiner = _refiner(settings, base, closing)
    reencoder = _reencoder(settings, base, closing, encoder=encoder, refiner=refiner)
    files = _picture_files(settings, base, closing)
    bypass = Bypass(base.sources, leases, files, now=base.now)
    flights = Flights(
        Filler(
            base.records,
            leases,
            base.sources,
            storage=FillStorage(base.records.writes, base.sources, encoder, now=base.now),
            stale_rules=StaleRules(hold_off, settings.stale_wait_s),
            now=base.now,
        ),
        bypass,
        encoder=encoder,
        previews=Previews(base.sources, void=base.records.writes.void, now=base.now, waiters=settings.waiters),
        after_fill=AfterFill(refiner, base.telemetry.requests),
        waiters=settings.waiters,
    )
    promotion = Promotion(settings.refill_requests)
    return EdgeCache(
        PictureStates(base.records, leases, hold_off, counts=base.telemetry.store, now=base.now),
        flights,
        from_record=RecordAnswers(files, generated_ttl_s=settings.generated_ttl_s, now=base.now),
        bypass=bypass,
        after_hit=AfterHit(reencoder, promotion, flights=flights, counts=base.telemetry.demotions),
        telemetry=base.telemetry,
    )


def _leases(settings: Settings, store: LatentStore) -> Leases:
    # A fill that has waited longer than a whole fetch for another process's lease checks that the lease is renewed.
    fetch_timeout_s = settings.origin_timeout_s + (settings.parent_timeout_s if settings.parent else 0)
    turns = Turns(max(TOGETHER, settings.origin_fetches), wait_s=settings.fetch_wait_s)
    return Leases(store, turns, patience_s=fetch_timeout_s)


def _encoder(settings: Settings, base: Foundation) -> Encoder:
    rules = EncodeRules(base.quality, source_first=settings.miss == "source", background_items=settings.miss_items)
    return Encoder(rules, worker=base.codec, admission=Admission(settings.admission_s, clock=time.monotonic))


def _refiner(settings: Settings, base: Foundation, closing: AsyncExitStack) -> Refiner:
    rules = RefineRules(steps=settings.refine, quality=base.quality)
    refiner = Refiner(rules, store=base.store, worker=base.codec, counts=base.telemetry.refinements)
    closing.push_async_callback(refiner.close)
    return refiner


def _reencoder(
    settings: Settings, base: Foundation, closing: AsyncExitStack, *, encoder: Encoder, refiner: Refiner
) -> Reencoder:
    reencoder = Reencoder(
        _reencode_pace(settings),
        store=base.store,
        latents=NewLatents(base.sources, encoder),
        refiner=refiner,
        counts=base.telemetry.refinements,
        now=base.now,
    )
    closing.push_async_callback(reencoder.close)
    return reencoder


def _reencode_pace(settings: Settings) -> Pace | None:
    if not settings.reencode_per_minute:
        return None
    return Pace(settings.reencode_per_minute, clock=time.monotonic, sleep=asyncio.sleep)


def _picture_files(settings: Settings, base: Foundation, closing: AsyncExitStack) -> PictureFiles:
    return PictureFiles(
        base.codec,
        closing.enter_context(ThreadPoolExecutor(FILE_THREADS, "file")),
        memory=S3Fifo(settings.hot_bytes),
        counts=base.telemetry.renditions,
        waiters=settings.waiters,
        finds_screens=settings.screen == "auto",
    )
