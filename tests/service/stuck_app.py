"""An application whose event loop can be held: `/stuck` reads a named pipe, which waits until somebody writes to it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.metrics.client_counts import ClientCounts
from service.metrics.telemetry import Telemetry
from service.serving.http_server import CLIENT_COUNTS

PIPE = "PIPE_OF_THE_STUCK_APPLICATION"
"""The environment variable that names the pipe."""


def create() -> Starlette:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, ClientCounts]]:
        yield {CLIENT_COUNTS: Telemetry().clients}

    async def stuck(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(Path(os.environ[PIPE]).read_bytes())  # noqa: ASYNC240  (it is to block the loop)

    return Starlette(routes=[Route("/stuck", stuck)], lifespan=lifespan)
