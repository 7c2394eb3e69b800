"""Build the parts of one worker, which serves pictures, and close them in reverse order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from socket import gethostname

from fastapi import FastAPI
from starlette.types import ASGIApp

from service.bus.decoder_client import DecoderClient
from service.bus.symbol_reader import SymbolReader
from service.cache.admission import Admission
from service.cache.after_fill import AfterFill
from service.cache.after_hit import AfterHit
from service.cache.bypass import Bypass
from service.cache.edge_cache import EdgeCache
from service.cache.encoder import Encoder, EncodeRules
from service.cache.fill import Filler
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
from service.demotion.candidates import DemotionAim
from service.demotion.demoter import Demoter, DemotionRules
from service.errors import SettingsError
from service.metrics.release import read_version
from service.metrics.telemetry import BuildFigures, Telemetry
from service.records.census import Census
from service.records.generations import Generations
from service.records.known_records import records_limit
from service.records.last_known import LastKnown
from service.records.lease import Leases
from service.records.negative_cache import NegativeCache
from service.records.purger import Purger
from service.records.record import VERSION as RECORD_VERSION
from service.records.record import generations_key
from service.records.record_reader import Books
from service.records.record_store import RecordStore
from service.records.turns import TOGETHER, Turns
from service.refine.pace import Pace
from service.refine.refiner import Refiner, RefineRules
from service.render.codec_options import WorkerOptions, waiting_messages
from service.render.codec_worker import CodecWorker
from service.render.image_file import ImageLimits
from service.render.picture_codec import PictureCodec
from service.render.screen_codec import ScreenCodec
from service.rules.cdn_loop import node_name
from service.rules.freshness import FreshnessRules
from service.rules.url_signature import read_url_keys
from service.serving.drain import DRAIN, Drain
from service.serving.frozen_start import frozen_start
from service.serving.http_server import CLIENT_COUNTS
from service.serving.open_files import room_for_slow_fetches
from service.serving.readiness import ReadyMark, WorkerState, keep_announced
from service.settings.background import read_background
from service.settings.edge_settings import Settings
from service.settings.quality import Quality, TargetScore
from service.shadow.file_sizes import FileSizes
from service.shadow.sampler import Sampler
from service.store.connection import Connection, Timeouts
from service.store.generation_store import GenerationStore
from service.store.latent_store import LatentStore
from service.store.store_clock import StoreClock
from service.upstream.intake import Intake
from service.upstream.origin_access import bearer
from service.upstream.origin_client import Limits, OriginClient
from service.upstream.origins import Origins, fetches_of, named
from service.upstream.parent import Parent
from service.upstream.source_reader import SourceReader
from service.upstream.upstream import Upstream
from service.web.access_log import AccessLog
from service.web.admin_routes import AdminServices
from service.web.own_fields import own_fields
from service.web.pictures import Pictures
from service.web.purge_routes import Purging
from service.web.questions import LATENTS, Questions
from service.web.recorder import Recorder, recording, shared_folder
from service.web.routes import EdgeApp, Services, add_routes
from service.web.stats import CodecFigures

# Assumed: while one thread reads a source file, the other one resizes a picture.
SOURCE_THREADS = 2
FILE_THREADS = 2
STDOUT = 1


def create_app(settings: Settings, *, mark: ReadyMark | None = None, decoder: str | None = None) -> FastAPI:
    """Create the application of one worker. Raises SettingsError without EDGE_REDIS_URL.

    `mark` is the file that tells the admin process whether this worker is ready; None without an admin process.
    `decoder` is the address of the decoder process; with None, the codec runs on a thread of this process.
    """
    if not settings.redis_url:
        raise SettingsError(
            ["EDGE_REDIS_URL: set it to a Redis or Valkey server; only `latentedge serve` can start a store itself"]
        )

    drain = Drain(
        delay_s=settings.drain_delay_s,
        limit_s=settings.drain_s,
        on_leaving=mark.clear if mark is not None else lambda: None,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
        assert isinstance(app, EdgeApp), "created below"
        drain.watch()
        async with AsyncExitStack() as closing:
            with frozen_start():
                app.services = await _start_services(settings, drain, closing, decoder=decoder)
            if mark is not None:
                await closing.enter_async_context(keep_announced(mark, partial(_state, app.services.admin)))
            yield {CLIENT_COUNTS: app.services.admin.telemetry.clients, DRAIN: drain}
            app.services = None

    is_all = not settings.admin_port  # whether operators use this port too
    app = EdgeApp(summary="A picture cache that keeps one latent per picture.", lifespan=lifespan, with_docs=is_all)
    add_routes(app, with_figures=is_all)
    return app


async def _start_services(
    settings: Settings, drain: Drain, closing: AsyncExitStack, *, decoder: str | None
) -> Services:
    telemetry = Telemetry()
    worker = _codec(settings, telemetry, decoder)
    closing.push_async_callback(worker.close)
    await worker.start()
    telemetry.set_build_info(_build_figures(worker))
    quality = worker.names.default_quality if settings.quality is None else settings.quality
    connection = Connection(
        settings.redis_url,
        timeouts=Timeouts(timeout_s=settings.store_timeout_s, retry_s=settings.store_retry_s),
        observer=telemetry,
    )
    closing.push_async_callback(connection.close)
    store = LatentStore(connection, on_dropped=telemetry.count_dropped_variants)
    last_known = LastKnown(settings.store_grace_s, limit_bytes=records_limit(settings.hot_bytes))
    generation_store = GenerationStore(connection, generations_key(settings.namespace))
    clock = StoreClock(generation_store, on_offset=telemetry.set_clock_offset, wall=time.time)
    closing.push_async_callback(clock.close)
    await clock.follow()
    generations = Generations(generation_store, last_known, grace_s=settings.store_grace_s)
    closing.push_async_callback(generations.close)
    generations.listen()
    origins = Origins.of(
        settings,
        limits=_fetch_limits(settings, timeout_s=settings.origin_timeout_s),
        observer=telemetry.origin,
        now=clock.now,
    )
    closing.push_async_callback(origins.close)
    reader = SourceReader(
        ImageLimits(source_pixels=settings.source_pixels),
        # Threads of their own, so that source files do not delay the picture files of hits.
        threads=closing.enter_context(ThreadPoolExecutor(SOURCE_THREADS, "source")),
        cpu_s=settings.source_s,
        background=read_background(settings.background),
    )
    closing.callback(reader.close)
    intake = Intake(_freshness_rules(settings), worker=worker, reader=reader)
    sources = Upstream(origins, intake, parent=_parent(settings, intake, telemetry, clock, closing=closing))
    encoder = _encoder(settings, worker, quality)
    record_store = RecordStore(
        store,
        _books(settings, worker),
        generations=generations,
        last_known=last_known,
        negative_cache=NegativeCache(store, _freshness_rules(settings), now=clock.now),
        now=clock.now,
    )
    # A fill that has waited longer than a whole fetch for another process's lease checks that the lease is renewed.
    fetch_timeout_s = settings.origin_timeout_s + (settings.parent_timeout_s if settings.parent else 0)
    turns = Turns(max(TOGETHER, settings.origin_fetches), wait_s=settings.fetch_wait_s)
    leases, hold_off = Leases(store, turns, patience_s=fetch_timeout_s), HoldOff(settings.hold_off_s)
    filler = Filler(
        record_store,
        leases,
        sources,
        encoder=encoder,
        stale_rules=StaleRules(hold_off, settings.stale_wait_s),
        now=clock.now,
    )
    refiner = Refiner(
        RefineRules(steps=settings.refine, quality=quality), store=store, worker=worker, telemetry=telemetry
    )
    closing.push_async_callback(refiner.close)
    reencoder = Reencoder(
        _reencode_pace(settings),
        store=store,
        latents=NewLatents(sources, encoder),
        refiner=refiner,
        telemetry=telemetry,
        now=clock.now,
    )
    closing.push_async_callback(reencoder.close)
    files = PictureFiles(
        worker,
        closing.enter_context(ThreadPoolExecutor(FILE_THREADS, "file")),
        memory=S3Fifo(settings.hot_bytes),
        counts=telemetry.renditions,
        waiters=settings.waiters,
        finds_screens=settings.screen == "auto",
    )
    bypass = Bypass(sources, leases, files, now=clock.now)
    flights = Flights(
        filler,
        bypass,
        encoder=encoder,
        previews=Previews(sources, void=record_store.void, now=clock.now, waiters=settings.waiters),
        after_fill=AfterFill(refiner, telemetry),
        waiters=settings.waiters,
    )
    cache = EdgeCache(
        PictureStates(record_store, leases, hold_off, telemetry=telemetry, now=clock.now),
        flights,
        from_record=RecordAnswers(files, generated_ttl_s=settings.generated_ttl_s, now=clock.now),
        bypass=bypass,
        after_hit=AfterHit(reencoder, Promotion(settings.refill_requests), flights=flights, counts=telemetry.demotions),
        telemetry=telemetry,
    )
    closing.push_async_callback(lambda: cache.close(within_s=drain.left_s()))

    _start_demoter(settings, store, generations, worker=worker, telemetry=telemetry, closing=closing)

    def forget(image_id: str) -> None:
        if image_id:
            last_known.forget(record_store.home(image_id))
            cache.forget(image_id)
        else:
            last_known.forget_all()

    sampler = await closing.enter_async_context(_sampling(worker, telemetry, cpu_share=settings.shadow_cpu))
    log = AccessLog(settings.access_log, file=STDOUT, observer=telemetry)
    closing.callback(log.close)
    return Services(
        pictures=_traced(
            Pictures(cache, telemetry, _questions(settings), log=log, sampler=sampler, own=own_fields(settings)),
            settings.otlp_url,
            closing,
        ),
        admin=AdminServices(
            census=Census(store, telemetry),
            purging=Purging(
                Purger(store, generations, origin=settings.namespace, forget=forget, now=clock.now),
                telemetry,
                token=settings.admin_token,
                names=named(settings),
            ),
            telemetry=telemetry,
            recorder=await _recorder(settings, telemetry, store, sampler=sampler, closing=closing),
            codec=lambda: _codec_figures(worker, quality),
            leaving=lambda: drain.leaving,
            store_trouble=lambda: connection.trouble,
        ),
    )


def _traced(pictures: Pictures, otlp_url: str, closing: AsyncExitStack) -> ASGIApp:
    """Return the application for pictures, which writes spans if there is a collector."""
    if not otlp_url:
        return pictures
    from service.web.traced_pictures import TracedPictures  # its packages are an extra

    traced = TracedPictures(pictures, otlp_url)
    closing.push_async_callback(asyncio.to_thread, traced.close)
    return traced


def _questions(settings: Settings) -> Questions:
    return Questions(
        node_name(host=gethostname(), parent=settings.parent),
        settings.forward,
        settings.latent_token,
        read_url_keys(settings.key.get_secret_value(), settings.salt.get_secret_value()),
        named(settings),
    )


async def _recorder(
    settings: Settings, telemetry: Telemetry, store: LatentStore, *, sampler: Sampler, closing: AsyncExitStack
) -> Recorder | None:
    """Record the figures from now on, unless there is an admin process, which does it."""
    if settings.admin_port:
        return None
    # A census of its own: that of /stats is kept for a moment, and would be older than the request.
    record = recording(telemetry, Census(store, telemetry), sampler=sampler, otlp_url=settings.otlp_url)
    return await closing.enter_async_context(record)


@asynccontextmanager
async def _sampling(worker: PictureCodec, telemetry: Telemetry, *, cpu_share: float) -> AsyncIterator[Sampler]:
    """Note requests for the shadow baseline during the block, and measure the sampled pictures in the background."""
    with ThreadPoolExecutor(1, "shadow") as threads:
        sizes = FileSizes(
            worker,
            threads,
            cpu_share=cpu_share,
            is_busy=lambda: telemetry.queue_depth > 0,
            on_measured=telemetry.count_shadow_measurement,
        )
        sampler, task = Sampler(sizes, shared_folder()), asyncio.create_task(sizes.run())
        yield sampler
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        sampler.close()


def _state(admin: AdminServices) -> WorkerState | None:
    codec = admin.codec()
    return None if codec is None else WorkerState(codec, admin.store_trouble())


def _books(settings: Settings, worker: PictureCodec) -> Books:
    return Books(
        origin=settings.namespace,
        stream_ids=frozenset(worker.readable),
        foreign_hold_s=settings.foreign_hold_s,
        most_variants=settings.variants,
        memory_bytes=records_limit(settings.hot_bytes),
    )


def _parent(
    settings: Settings, intake: Intake, telemetry: Telemetry, clock: StoreClock, *, closing: AsyncExitStack
) -> Parent | None:
    if not settings.parent:
        return None
    client = OriginClient(
        settings.parent + LATENTS.rstrip("/"),
        limits=_fetch_limits(settings, timeout_s=settings.parent_timeout_s),
        observer=telemetry.parent,
        access=bearer(settings.parent_token.get_secret_value()),
        pass_on=settings.pass_on,
        now=clock.now,
    )
    closing.push_async_callback(client.close)
    return Parent(client, intake=intake, retry_s=settings.parent_retry_s, telemetry=telemetry)


def _fetch_limits(settings: Settings, *, timeout_s: float) -> Limits:
    return Limits(
        source_bytes=settings.source_bytes,
        timeout_s=timeout_s,
        connect_timeout_s=settings.origin_connect_timeout_s,
        slots=settings.origin_fetches,
        slow=room_for_slow_fetches(settings.origin_slow_fetches, origins=len(fetches_of(settings))),
        queued=settings.origin_queue_items,
    )


def _encoder(settings: Settings, worker: PictureCodec, quality: Quality) -> Encoder:
    rules = EncodeRules(quality, source_first=settings.miss == "source", background_items=settings.miss_items)
    return Encoder(rules, worker=worker, admission=Admission(settings.admission_s, clock=time.monotonic))


def _start_demoter(
    settings: Settings,
    store: LatentStore,
    generations: Generations,
    *,
    worker: PictureCodec,
    telemetry: Telemetry,
    closing: AsyncExitStack,
) -> None:
    if not settings.demote:
        return
    aim = DemotionAim(origin=settings.namespace, stream_id=worker.names.stream_id)
    rules = DemotionRules(share=settings.demote, per_minute=settings.demote_per_minute, aim=aim)
    demoter = Demoter(rules, store=store, generations=generations, worker=worker, counts=telemetry.demotions)
    closing.push_async_callback(demoter.close)
    demoter.start()


def _reencode_pace(settings: Settings) -> Pace | None:
    if not settings.reencode_per_minute:
        return None
    return Pace(settings.reencode_per_minute, clock=time.monotonic, sleep=asyncio.sleep)


def _freshness_rules(settings: Settings) -> FreshnessRules:
    return FreshnessRules(
        default_ttl_s=settings.default_ttl_s,
        min_ttl_s=settings.min_ttl_s,
        max_ttl_s=settings.max_ttl_s,
        heuristic_fraction=settings.heuristic_fraction,
        ttl_jitter=settings.ttl_jitter,
        stale_while_revalidate_s=settings.swr_s,
        stale_if_error_s=settings.sie_s,
        negative_ttls=settings.negative_ttl_s,
        forward=settings.forward,
    )


def _build_figures(worker: PictureCodec) -> BuildFigures:
    stream_id = worker.names.stream_id.hex()
    return BuildFigures(version=read_version(), stream_id=stream_id, record_version=RECORD_VERSION)


def _codec_figures(worker: PictureCodec, quality: Quality) -> CodecFigures | None:
    """Return the figures of the codec, which change if its accelerator fails; None while the decoder is away."""
    if not worker.is_there:
        return None
    codec = worker.names
    return CodecFigures(
        device=codec.device,
        head=codec.head,
        kernels=codec.kernels,
        stream_id=codec.stream_id.hex(),
        quality=None if isinstance(quality, TargetScore) else quality,
        target_ssimulacra2=quality.ssimulacra2 if isinstance(quality, TargetScore) else None,
    )


def _codec(settings: Settings, telemetry: Telemetry, decoder: str | None) -> PictureCodec:
    """Return the codec of latents, and of screen streams in front of it."""
    latents = _latent_codec(settings, telemetry, decoder)
    return ScreenCodec(latents, writes=settings.screen == "auto", limits=WorkerOptions.of(settings).queue)


def _latent_codec(settings: Settings, telemetry: Telemetry, decoder: str | None) -> PictureCodec:
    """Return a client of the decoder process at this address, or if it is None, a codec on a thread of this process."""
    options = WorkerOptions.of(settings)
    if decoder is None:
        return CodecWorker(options, telemetry)
    reader = SymbolReader(settings.weights, kernels=settings.kernels, threads=settings.threads, limits=options.queue)
    return DecoderClient(decoder, reader, waiting=waiting_messages(options.queue))
