"""The routes for operators: health, metrics and figures. `page_routes` has the page that shows them.

The workers serve them on the port of the pictures. With EDGE_ADMIN_PORT, the admin process serves them, and the workers
keep only the health routes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from service.metrics.release import read_version
from service.metrics.telemetry import Telemetry
from service.records.census import Census
from service.web.purge_routes import Purging
from service.web.recorder import Recorder
from service.web.stats import CodecFigures, Figures, compute_figures


@dataclass(frozen=True, slots=True)
class AdminServices:
    """The objects that the routes for operators use."""

    census: Census
    purging: Purging
    telemetry: Telemetry
    recorder: Recorder | None
    """The figures over time; None in a worker whose edge has an admin process."""
    codec: Callable[[], CodecFigures | None]
    """A function that returns the figures of the codec, or None while no codec can be used."""
    leaving: Callable[[], bool]
    """A function that returns whether the edge is shutting down."""
    store_trouble: Callable[[], str]
    """A function that returns why the store fails at the moment; empty if it works."""


Running = Callable[[], AdminServices]
"""A function that returns the services, or raises an HTTPException with 503 until the edge has started."""


def not_running() -> HTTPException:
    """Return the 503 for requests while no codec can be used, at the start or while the decoder process is away."""
    sentence = "The edge is starting, or its decoder is away."
    return HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, sentence, headers={"Retry-After": "1"})


def health_router(running: Running) -> APIRouter:
    """Return the health routes /livez and /readyz, which are served on every port of the edge."""
    router = APIRouter(tags=["health"], default_response_class=PlainTextResponse)

    @router.get("/livez")
    async def read_liveness() -> str:
        """Answer 200 if the process is alive, which means that its event loop runs."""
        return "alive\n"

    @router.get("/readyz")
    async def read_readiness() -> str:
        """Answer 200 if the weights are loaded and the edge is not shutting down, otherwise 503.

        An edge whose store is down is still ready, because it serves pictures from the origin. A second line tells
        then why the store fails.
        """
        now = running()
        if now.leaving():
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "The edge is shutting down.")
        _require_codec(now)
        trouble = now.store_trouble()
        return f"ready\nthe store fails: {trouble}\n" if trouble else "ready\n"

    return router


def figures_router(running: Running) -> APIRouter:
    """Return the routes /stats and /metrics, which are on the admin port if there is an admin port."""
    router = APIRouter(tags=["figures"])
    version = read_version()  # read once, because each call reads files of the installed distribution

    @router.get("/stats")
    async def read_stats() -> Figures:
        """Return the figures of all workers together, as JSON. The page at / shows them."""
        now = running()
        codec = _require_codec(now)
        census = await now.census.take()
        return compute_figures(now.telemetry.collect(), version=version, store=census, codec=codec)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def read_metrics() -> Response:
        """Return the metrics of all workers, in the text format of Prometheus."""
        now = running()
        await now.census.take()  # count the records, which updates the gauges of the store
        return Response(now.telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)

    return router


def _require_codec(now: AdminServices) -> CodecFigures:
    codec = now.codec()
    if codec is None:
        raise not_running()
    return codec
