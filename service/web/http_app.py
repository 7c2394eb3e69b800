"""The base class of the edge's FastAPI applications: HEAD, Date, problem responses and the page at /docs."""

from __future__ import annotations

import time

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import Lifespan, Message, Receive, Scope, Send

from service.rules.http_date import http_date
from service.web.responses import problem_body

_PROBLEM = "application/problem+json"
_DOCS_FILES = "/docs-files"


class HttpApp(FastAPI):
    """A FastAPI application that answers HEAD like GET, and every error with a problem document (RFC 9457)."""

    def __init__(self, *, summary: str, lifespan: Lifespan[FastAPI], with_docs: bool = True) -> None:
        """Create an application. `with_docs` adds /docs and /openapi.json, which describe its routes."""
        super().__init__(
            title="latentedge",
            summary=summary,
            lifespan=lifespan,
            redirect_slashes=False,  # a redirect that adds a slash would repeat the Host field, which is not trusted
            openapi_url="/openapi.json" if with_docs else None,
            docs_url=None,
            redoc_url=None,
        )
        if with_docs:
            self.mount(_DOCS_FILES, StaticFiles(packages=[("fastapi_offline", "static")]))
            self.get("/docs", include_in_schema=False)(read_docs)
        self.add_exception_handler(HTTPException, _write_problem)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or run the application's lifespan (start-up and shutdown)."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # RFC 9110 9.3.2: answer HEAD like GET. The HTTP server leaves out the content.
            scope = {**scope, "method": "GET"}
        await super().__call__(scope, receive, _add_date_and_no_store(send))


async def read_docs() -> HTMLResponse:
    """Return the Swagger page with local files. FastAPI's own page loads its script from a CDN."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="latentedge",
        swagger_js_url=f".{_DOCS_FILES}/swagger-ui-bundle.js",
        swagger_css_url=f".{_DOCS_FILES}/swagger-ui.css",
        swagger_favicon_url=f".{_DOCS_FILES}/favicon.png",
        # Without this parameter, the page would send the URL of the edge to validator.swagger.io.
        swagger_ui_parameters={"validatorUrl": None},
    )


def _add_date_and_no_store(send: Send) -> Send:
    """Add Date (RFC 9110 6.6.1) and, unless it is set, `Cache-Control: no-store` to every response.

    The HTTP server adds no Date, because a picture keeps the origin's. Health, figures and errors must not be stored,
    but caches may store a 404, 405 or 414 by default (RFC 9110 15.1).
    """

    async def send_with_fields(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["date"] = http_date(time.time())
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return send_with_fields


async def _write_problem(_request: Request, error: Exception) -> Response:
    """Return the problem document (RFC 9457) for an HTTPException, such as an unknown path or method."""
    assert isinstance(error, HTTPException), "the handler is registered for HTTPException only"
    body = problem_body(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"  # RFC 9110 10.2.1: HttpApp answers HEAD on every route for GET
    return Response(body, status_code=error.status_code, headers=headers, media_type=_PROBLEM)
