"""Build the admin process, which serves health, figures and purges on EDGE_ADMIN_PORT. It has no codec and no pictures.

It has an event loop and an interpreter of its own, so it answers health checks even while all workers are busy.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from service.metrics.client_counts import ClientCounts
from service.metrics.telemetry import Telemetry
from service.records.census import Census
from service.records.generations import Generations
from service.records.last_known import LastKnown
from service.records.purger import Purger
from service.records.store_keys import generations_key
from service.serving.frozen_start import end_start
from service.serving.http_server import CLIENT_COUNTS
from service.serving.readiness import ready_worker
from service.settings.edge_settings import Settings
from service.store.connection import Connection, Timeouts
from service.store.generation_store import GenerationStore
from service.store.latent_store import LatentStore
from service.store.store_clock import StoreClock
from service.upstream.origins import named
from service.web.admin_routes import AdminServices, figures_router, health_router, not_running
from service.web.http_app import HttpApp
from service.web.page_routes import page_router
from service.web.purge_routes import Purging, purge_router
from service.web.recorder import recording


class AdminApp(HttpApp):
    """The FastAPI application on the admin port."""

    services: AdminServices | None = None

    def running(self) -> AdminServices:
        """Return the services of the routes. Raises HTTPException with 503 until they have started."""
        if self.services is None:
            raise not_running()
        return self.services


def create_admin_app(settings: Settings, *, workers: Path) -> FastAPI:
    """Create the application of the admin process. `workers` is the folder of the workers' ready marks and metrics."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, ClientCounts]]:
        assert isinstance(app, AdminApp), "created below"
        async with _started(settings, workers) as app.services:
            end_start()
            yield {CLIENT_COUNTS: app.services.telemetry.clients}

    app = AdminApp(summary="Health and figures of a picture cache.", lifespan=lifespan)
    app.include_router(health_router(app.running))
    app.include_router(figures_router(app.running))
    app.include_router(page_router(app.running))
    app.include_router(purge_router(lambda: app.running().purging))
    return app


@asynccontextmanager
async def _started(settings: Settings, workers: Path) -> AsyncIterator[AdminServices]:
    """Return what the routes use, and close it after the block."""
    telemetry = Telemetry()
    timeouts = Timeouts(timeout_s=settings.store_timeout_s, retry_s=settings.store_retry_s)
    connection = Connection(settings.redis_url, timeouts=timeouts, observer=telemetry.store)
    store = LatentStore(connection)
    generation_store = GenerationStore(connection, generations_key(settings.namespace))
    clock = StoreClock(generation_store, on_offset=telemetry.store.set_clock_offset, wall=time.time)
    await clock.follow()
    purger = Purger(
        store,
        Generations(generation_store, LastKnown(0)),
        origin=settings.namespace,
        forget=lambda _image_id: None,  # this process runs no fills, and the workers read the purge in the store
        now=clock.now,
    )
    # A census of its own: that of /stats is kept for a moment, and would be older than the request.
    async with recording(telemetry, Census(store, telemetry.store), otlp_url=settings.otlp_url) as recorder:
        yield AdminServices(
            census=Census(store, telemetry.store),
            purging=Purging(purger, telemetry.store, token=settings.admin_token, names=named(settings)),
            telemetry=telemetry,
            recorder=recorder,
            codec=lambda: None if (worker := ready_worker(workers)) is None else worker.codec,
            # A worker that shuts down removes its ready mark, which makes /readyz answer 503.
            leaving=lambda: False,
            store_trouble=lambda: "" if (worker := ready_worker(workers)) is None else worker.store_trouble,
        )
    await clock.close()
    await connection.close()
