"""All routes of the edge. Health, metrics and figures never wait for a picture."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from service.cache.census import Census
from service.cache.http_date import http_date
from service.telemetry import Telemetry
from service.web.negotiation import LATENT_MEDIA_TYPE
from service.web.pictures import Pictures
from service.web.questions import LATENTS, PICTURES
from service.web.responses import problem_body
from service.web.stats import CodecFigures, Figures, figures

_PROBLEM = "application/problem+json"
_METHODS = {"GET", "HEAD"}


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes answer from."""

    pictures: Pictures
    census: Census
    telemetry: Telemetry
    codec: Callable[[], CodecFigures]
    """It may lose its device."""
    leaving: Callable[[], bool]


class EdgeApp(FastAPI):
    """A FastAPI application in front of which pictures turn off: they are the hot path, and plain ASGI."""

    services: Services | None = None
    """None until everything runs."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if scope["method"] in _METHODS:
            if self.services is not None and scope["path"].startswith((PICTURES, LATENTS)):
                await self.services.pictures(scope, receive, _parting(send) if self.services.leaving() else send)
                return
            # RFC 9110 9.3.2: HEAD is GET without the content, and the server knows to leave that out.
            scope = {**scope, "method": "GET"}
        await super().__call__(scope, receive, _dated(send))


def _parting(send: Send) -> Send:
    """RFC 9112 9.6: whoever keeps this connection is to use another from now on."""

    async def send_with_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["connection"] = "close"
        await send(message)

    return send_with_close


def _dated(send: Send) -> Send:
    """RFC 9110 6.6.1. The server writes no Date: that of a picture is the origin's."""

    async def send_with_date(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["date"] = http_date(time.time())
        await send(message)

    return send_with_date


def add_routes(app: EdgeApp) -> None:
    """Everything that this edge answers."""
    app.include_router(_router(app))
    app.add_exception_handler(HTTPException, _problem)


def _router(app: EdgeApp) -> APIRouter:
    router = APIRouter()

    def running() -> Services:
        if app.services is None:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "The edge is starting.", headers={"Retry-After": "1"})
        return app.services

    _add_pictures(router, running)

    @router.get("/stats", tags=["figures"])
    async def read_stats() -> Figures:
        """All figures of all workers: what the page at / shows."""
        now = running()
        census = await now.census.taken()
        return figures(now.telemetry.collected(), store=census, codec=now.codec())

    @router.get("/metrics", tags=["figures"], response_class=PlainTextResponse)
    async def read_metrics() -> Response:
        """The same for Prometheus."""
        now = running()
        await now.census.taken()  # sets the gauges of the store
        return Response(now.telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/livez", tags=["health"], response_class=PlainTextResponse)
    async def read_liveness() -> str:
        """The event loop turns."""
        return "alive\n"

    @router.get("/readyz", tags=["health"], response_class=PlainTextResponse)
    async def read_readiness() -> str:
        """The weights are loaded. A store that is down does not matter: pictures then come from the origin."""
        if running().leaving():
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "The edge is being stopped.")
        return "ready\n"

    @router.get("/", include_in_schema=False)
    async def read_page() -> HTMLResponse:
        """The figures for people."""
        return HTMLResponse(page)

    page = files("service.web").joinpath("page.html").read_text("utf-8")
    return router


def _add_pictures(router: APIRouter, running: Callable[[], Services]) -> None:
    """Documentation, and the answer while the edge starts: pictures turn off before (see EdgeApp)."""

    @router.get(
        PICTURES + "{id:path}",
        tags=["pictures"],
        response_class=Response,
        responses={200: {"content": {f"image/{kind}": {} for kind in ("jpeg", "webp", "avif", "png")}}},
    )
    async def read_image(
        id: str,  # noqa: A002, ARG001  (documentation)
        res: Annotated[  # noqa: ARG001
            Literal["high", "medium", "344", "172"], Query(description="high: 344x344 pixels, medium: 172x172.")
        ] = "high",
        fmt: Annotated[  # noqa: ARG001
            Literal["jpeg", "webp", "avif", "png"] | None, Query(description="Else what Accept prefers, else jpeg.")
        ] = None,
    ) -> None:
        """The centre square of a picture of the origin, in one of two sizes."""
        running()

    @router.get(
        LATENTS + "{id:path}",
        tags=["pictures"],
        response_class=Response,
        responses={200: {"content": {LATENT_MEDIA_TYPE: {}}}},
    )
    async def read_latent(id: str) -> None:  # noqa: A002, ARG001  (likewise)
        """The latent of a picture, for an edge that has this one as its parent (EDGE_PARENT)."""
        running()


async def _problem(_request: Request, error: Exception) -> Response:
    """Unknown paths and methods are told in the same form as every other problem (RFC 9457)."""
    assert isinstance(error, HTTPException), "registered for this one"
    body = problem_body(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"  # RFC 9110 10.2.1; see EdgeApp
    return Response(body, status_code=error.status_code, headers=headers, media_type=_PROBLEM)
