"""Build one worker, which serves pictures, from its parts, and close them in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from socket import gethostname

from fastapi import FastAPI
from starlette.types import ASGIApp

from service.cache.edge_cache import EdgeCache
from service.errors import SettingsError
from service.metrics.store_counts import StoreCounts
from service.metrics.telemetry import Telemetry
from service.records.census import Census
from service.records.purger import Purger
from service.records.record_store import RecordStore
from service.rules.cdn_loop import node_name
from service.rules.freshness import FreshnessRules
from service.rules.url_signature import read_url_keys
from service.serving.background_parts import sampling, start_demoter, start_recorder
from service.serving.cache_parts import Foundation, build_cache
from service.serving.codec_parts import build_codec, codec_figures, quality_of, version_figures
from service.serving.drain import DRAIN, Drain
from service.serving.frozen_start import frozen_start
from service.serving.http_server import CLIENT_COUNTS
from service.serving.readiness import ReadyMark, WorkerState, keep_announced
from service.serving.store_parts import StoreParts, build_record_store, open_store
from service.serving.upstream_parts import build_upstream
from service.settings.edge_settings import Settings
from service.upstream.origins import named
from service.web.access_log import AccessLog
from service.web.admin_routes import AdminServices
from service.web.own_fields import own_fields
from service.web.pictures import Pictures
from service.web.purge_routes import Purging
from service.web.questions import Questions
from service.web.routes import EdgeApp, Services, add_routes

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
    """Start the parts in the order in which they stand on each other."""
    telemetry = Telemetry()
    codec = build_codec(settings, telemetry.codec, decoder)
    closing.push_async_callback(codec.close)
    await codec.start()
    telemetry.set_build_info(version_figures(codec))
    quality = quality_of(settings, codec)
    stored = await open_store(settings, telemetry.store, closing)
    rules, now = _freshness_rules(settings), stored.clock.now
    sources = build_upstream(settings, telemetry, codec, rules=rules, now=now, closing=closing)
    records = build_record_store(settings, stored, codec, rules=rules)
    base = Foundation(stored.store, records, sources, codec, quality, telemetry, now)
    cache = build_cache(settings, base, closing)
    closing.push_async_callback(lambda: cache.close(within_s=drain.left_s()))
    start_demoter(settings, stored, codec, counts=telemetry.demotions, closing=closing)
    sampler = await closing.enter_async_context(sampling(codec, telemetry, cpu_share=settings.shadow_cpu))
    log = AccessLog(settings.access_log, file=STDOUT, observer=telemetry.requests)
    closing.callback(log.close)
    pictures = Pictures(cache, telemetry, _questions(settings), log=log, sampler=sampler, own=own_fields(settings))
    return Services(
        pictures=_traced(pictures, settings.otlp_url, closing),
        admin=AdminServices(
            census=Census(stored.store, telemetry.store),
            purging=_purging(settings, stored, telemetry.store, forget=_forgetting(stored, records, cache)),
            telemetry=telemetry,
            recorder=await start_recorder(settings, telemetry, stored.store, sampler=sampler, closing=closing),
            codec=lambda: codec_figures(codec, quality),
            leaving=lambda: drain.leaving,
            store_trouble=lambda: stored.connection.trouble,
        ),
    )


def _purging(settings: Settings, stored: StoreParts, counts: StoreCounts, *, forget: Callable[[str], None]) -> Purging:
    purger = Purger(stored.store, stored.generations, origin=settings.namespace, forget=forget, now=stored.clock.now)
    return Purging(purger, counts, token=settings.admin_token, names=named(settings))


def _forgetting(stored: StoreParts, records: RecordStore, cache: EdgeCache) -> Callable[[str], None]:
    """Return the function by which a purge has this process forget a picture; all pictures if its id is empty."""

    def forget(image_id: str) -> None:
        if image_id:
            stored.last_known.forget(records.home(image_id))
            cache.forget(image_id)
        else:
            stored.last_known.forget_all()

    return forget


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


def _state(admin: AdminServices) -> WorkerState | None:
    codec = admin.codec()
    return None if codec is None else WorkerState(codec, admin.store_trouble())


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
