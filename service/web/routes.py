"""The application on the picture port: pictures, health, and if there is no EDGE_ADMIN_PORT the operators' routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Query, Security
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from service.rendition import MEDIA_TYPES, RENDITIONS, RES_VALUES, describe_sizes
from service.rules.negotiation import LATENT_MEDIA_TYPE
from service.web.admin_routes import AdminServices, figures_router, health_router, not_running
from service.web.http_app import HttpApp
from service.web.page_routes import page_router
from service.web.purge_routes import purge_router
from service.web.questions import LATENTS, PICTURES

_METHODS = {"GET", "HEAD"}
_Id = Annotated[str, Path(description="The path of the picture at the origin.", examples=["china.jpg"])]


@dataclass(frozen=True, slots=True)
class Services:
    """The objects that the routes of a worker use."""

    pictures: ASGIApp
    admin: AdminServices


class EdgeApp(HttpApp):
    """The FastAPI application on the picture port. Requests for pictures bypass FastAPI, which would be slower."""

    services: Services | None = None
    """The services of the routes; None until the edge has started."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or run the application's lifespan (start-up and shutdown)."""
        services = self.services
        if services is None or not _is_for_pictures(scope):
            await super().__call__(scope, receive, send)
            return
        await services.pictures(scope, receive, send)

    def running(self) -> Services:
        """Return the services of the routes. Raises an HTTPException with 503 until the edge has started."""
        if self.services is None:
            raise not_running()
        return self.services


def _is_for_pictures(scope: Scope) -> bool:
    return bool(
        scope["type"] == "http" and scope["method"] in _METHODS and scope["path"].startswith((PICTURES, LATENTS))
    )


def add_routes(app: EdgeApp, *, with_figures: bool) -> None:
    """Add all routes of the picture port, with the operators' routes if `with_figures`."""
    app.include_router(_pictures_router(app))
    app.include_router(health_router(lambda: app.running().admin))
    if with_figures:
        app.include_router(figures_router(lambda: app.running().admin))
        app.include_router(page_router(lambda: app.running().admin))
        app.include_router(purge_router(lambda: app.running().admin.purging))


def _pictures_router(app: EdgeApp) -> APIRouter:
    """Return the routes that document pictures in OpenAPI, and that answer 503 until the edge has started.

    Once it has started, `EdgeApp` answers requests for pictures itself.
    """
    router = APIRouter(tags=["pictures"], default_response_class=Response)

    @router.get(
        PICTURES + "{id:path}",
        responses={200: {"content": {media_type: {} for media_type in MEDIA_TYPES.values()}}},
    )
    async def read_image(
        id: _Id,  # noqa: A002, ARG001  (documentation)
        res: Annotated[  # noqa: ARG001
            str, Query(description=f"{describe_sizes()}.", json_schema_extra={"enum": list(RES_VALUES)})
        ] = RENDITIONS[0].name,
        fmt: Annotated[  # noqa: ARG001
            str | None,
            Query(
                description=f"If omitted, the type that Accept prefers, or {next(iter(MEDIA_TYPES))}.",
                json_schema_extra={"enum": list(MEDIA_TYPES)},
            ),
        ] = None,
    ) -> None:
        """Return the centre square of a picture of the origin, in one of two sizes."""
        app.running()

    @router.get(
        LATENTS + "{id:path}",
        responses={200: {"content": {LATENT_MEDIA_TYPE: {}}}},
        dependencies=[Security(HTTPBearer(auto_error=False, description="EDGE_LATENT_TOKEN"))],
    )
    async def read_latent(id: _Id) -> None:  # noqa: A002, ARG001  (documentation)
        """Return the latent of a picture, for a child edge that has set this edge as its parent (EDGE_PARENT)."""
        app.running()

    return router
