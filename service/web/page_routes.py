"""The page that shows the figures, its files, and the figures of the last hour that it draws.

Every address in the page is relative, so it works behind a proxy that serves the edge below a path.
"""

from __future__ import annotations

import asyncio
import json
import math
from http import HTTPStatus
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from service.web.admin_routes import Running, not_running

_INDEX = "index.html"
_MEDIA_TYPES = {
    _INDEX: "text/html",
    "charts.js": "text/javascript",
    "figures.js": "text/javascript",
    "style.css": "text/css",
}
_POLICY = "; ".join(
    [
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src data:", "connect-src 'self'"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    ]
)
"""The page loads its own files alone, and may not be framed (Content Security Policy Level 3)."""


def page_router(running: Running) -> APIRouter:
    """Return the routes / and /history, which are on the admin port if there is an admin port."""
    router = APIRouter(tags=["figures"])
    folder = files("service.web").joinpath("page")
    contents = {name: folder.joinpath(name).read_bytes() for name in _MEDIA_TYPES}

    @router.get("/", include_in_schema=False)
    async def read_page() -> Response:
        """Return the page that shows the figures."""
        return _write(_INDEX)

    @router.get("/page/{name}", include_in_schema=False)
    async def read_file(name: str) -> Response:
        """Return a file of the page, such as its script."""
        if name not in contents:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return _write(name)

    @router.get("/history", response_class=Response, responses={200: {"content": {"application/json": {}}}})
    async def read_history(after: str = "0") -> Response:
        """Return the figures of all workers over time: each second of five minutes and each minute of an hour.

        `after` leaves out what was up to this moment, in seconds since the epoch.
        """
        recorder = running().recorder
        if recorder is None:
            raise not_running()
        after_s = _read_moment(after)
        text = await asyncio.to_thread(lambda: json.dumps(recorder.read(after_s=after_s)))
        return Response(text, media_type="application/json")

    def _write(name: str) -> Response:
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        return Response(contents[name], media_type=_MEDIA_TYPES[name], headers=headers)

    return router


def _read_moment(text: str) -> float:
    try:
        moment_s = float(text)
    except ValueError:
        moment_s = math.nan
    if not math.isfinite(moment_s):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "`after` has to be a number of seconds since the epoch.")
    return moment_s
