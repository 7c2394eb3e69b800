"""The routes for operators: health, metrics, figures, the page. None of them ever waits for a picture.

They are answered beside the pictures, or, with EDGE_ADMIN_PORT, by a process that has no pictures.
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
from service.web.stats import CodecFigures, Figures, figures


@dataclass(frozen=True, slots=True)
class AdminServices:
    """What these routes answer from."""

    census: Census
    purging: Purging
    telemetry: Telemetry
    codec: Callable[[], CodecFigures | None]
    """As it is now; None while nothing decodes."""
    leaving: Callable[[], bool]


Running = Callable[[], AdminServices]
"""Raises an HTTPException while the edge is not running."""


def not_running() -> HTTPException:
    """Return the answer while nothing decodes: the weights are not loaded yet, or the decoder is away."""
    sentence = "The edge is starting, or its decoder is away."
    return HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, sentence, headers={"Retry-After": "1"})


def health_router(running: Running) -> APIRouter:
    """On every port."""
    router = APIRouter(tags=["health"], default_response_class=PlainTextResponse)

    @router.get("/livez")
    async def read_liveness() -> str:
        """The event loop turns."""
        return "alive\n"

    @router.get("/readyz")
    async def read_readiness() -> str:
        """The weights are loaded. A store that is down does not matter: pictures then come from the origin."""
        now = running()
        if now.leaving():
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "The edge is being stopped.")
        _decoding(now)
        return "ready\n"

    return router


def figures_router(running: Running) -> APIRouter:
    """On the admin port, if there is one."""
    router = APIRouter(tags=["figures"])
    version = read_version()  # read once: each look goes to the disk

    @router.get("/stats")
    async def read_stats() -> Figures:
        """All figures of all workers: what the page at / shows."""
        now = running()
        codec = _decoding(now)
        census = await now.census.take()
        return figures(now.telemetry.collect(), version=version, store=census, codec=codec)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def read_metrics() -> Response:
        """The same for Prometheus."""
        now = running()
        await now.census.take()  # sets the gauges of the store
        return Response(now.telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/", include_in_schema=False)
    async def read_page() -> HTMLResponse:
        """The figures for people."""
        return HTMLResponse(page)

    page = files("service.web").joinpath("page.html").read_text("utf-8")
    return router


def _decoding(now: AdminServices) -> CodecFigures:
    codec = now.codec()
    if codec is None:
        raise not_running()
    return codec
