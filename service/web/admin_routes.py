"""The routes for operators: health, metrics, figures and their page. None of them waits for a picture.

The workers serve them beside the pictures; with EDGE_ADMIN_PORT, a process without pictures serves them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from service.metrics.release import read_version
from service.metrics.telemetry import Telemetry
from service.records.census import Census
from service.web.purge_routes import Purging
from service.web.stats import CodecFigures, Figures, compute_figures


@dataclass(frozen=True, slots=True)
class AdminServices:
    """The objects that the routes for operators use."""

    census: Census
    purging: Purging
    telemetry: Telemetry
    codec: Callable[[], CodecFigures | None]
    """Return the figures of the codec, or None while no codec is loaded."""
    leaving: Callable[[], bool]
    """Return whether the edge is shutting down."""


Running = Callable[[], AdminServices]
"""Return the services. Raises an HTTPException until the edge has started."""


def not_running() -> HTTPException:
    """Return the 503 for a time without a codec: the weights are not loaded yet, or the decoder is away."""
    sentence = "The edge is starting, or its decoder is away."
    return HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, sentence, headers={"Retry-After": "1"})


def health_router(running: Running) -> APIRouter:
    """Return the health routes, which every port has."""
    router = APIRouter(tags=["health"], default_response_class=PlainTextResponse)

    @router.get("/livez")
    async def read_liveness() -> str:
        """The process is alive: its event loop answers."""
        return "alive\n"

    @router.get("/readyz")
    async def read_readiness() -> str:
        """The weights are loaded. A store that is down does not make the edge unready: it serves from the origin."""
        now = running()
        if now.leaving():
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "The edge is shutting down.")
        _require_codec(now)
        return "ready\n"

    return router


def figures_router(running: Running) -> APIRouter:
    """Return the routes of the figures, which are on the admin port if there is one."""
    router = APIRouter(tags=["figures"])
    version = read_version()  # read once, since each call reads the disk

    @router.get("/stats")
    async def read_stats() -> Figures:
        """The figures of all workers together, which the page at / shows."""
        now = running()
        codec = _require_codec(now)
        census = await now.census.take()
        return compute_figures(now.telemetry.collect(), version=version, store=census, codec=codec)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def read_metrics() -> Response:
        """The metrics of all workers, for Prometheus."""
        now = running()
        await now.census.take()  # updates the gauges of the store
        return Response(now.telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/", include_in_schema=False)
    async def read_page() -> HTMLResponse:
        """The page that shows the figures."""
        return HTMLResponse(page)

    page = files("service.web").joinpath("page.html").read_text("utf-8")
    return router


def _require_codec(now: AdminServices) -> CodecFigures:
    codec = now.codec()
    if codec is None:
        raise not_running()
    return codec
