"""What every server of the edge has in common: HEAD, Date, and problems. Has no routes."""

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
    """A FastAPI application that answers HEAD, and tells every error as a problem."""

    def __init__(self, *, summary: str, lifespan: Lifespan[FastAPI]) -> None:
        super().__init__(
            title="latentedge",
            summary=summary,
            lifespan=lifespan,
            redirect_slashes=False,  # such a redirect would name whatever host the client has named
            docs_url=None,
            redoc_url=None,
        )
        self.mount(_DOCS_FILES, StaticFiles(packages=[("fastapi_offline", "static")]))
        self.get("/docs", include_in_schema=False)(read_docs)
        self.add_exception_handler(HTTPException, _problem)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # RFC 9110 9.3.2: HEAD is GET without the content, and the server knows to leave that out.
            scope = {**scope, "method": "GET"}
        await super().__call__(scope, receive, _for_one_moment(send))


async def read_docs() -> HTMLResponse:
    """The interface for people. FastAPI's own page loads its script from a server of others."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="latentedge",
        swagger_js_url=f".{_DOCS_FILES}/swagger-ui-bundle.js",
        swagger_css_url=f".{_DOCS_FILES}/swagger-ui.css",
        swagger_favicon_url=f".{_DOCS_FILES}/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},  # else it sends the address of the edge to one
    )


def _for_one_moment(send: Send) -> Send:
    """Add the Date (RFC 9110 6.6.1): the server writes none, as that of a picture is the origin's. Forbid to store.

    What is answered here holds for the moment: health, figures, and errors that a cache could keep unless it is told
    not to (RFC 9110 15.1 names 404, 405 and 414).
    """

    async def send_with_fields(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["date"] = http_date(time.time())
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return send_with_fields


async def _problem(_request: Request, error: Exception) -> Response:
    """Unknown paths and methods are told in the same form as every other problem (RFC 9457)."""
    assert isinstance(error, HTTPException), "registered for this one"
    body = problem_body(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"  # RFC 9110 10.2.1; see HttpApp
    return Response(body, status_code=error.status_code, headers=headers, media_type=_PROBLEM)
