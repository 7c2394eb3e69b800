"""The routes of pictures and latents: one request becomes one question to the cache, its answer a response.

Plain ASGI because it is the hot path; what FastAPI adds is documentation (see `routes`). Writes no headers itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope, Send

from service.cache.edge_cache import EdgeCache
from service.errors import EdgeError, Leaving
from service.telemetry import Outcome, Telemetry
from service.timings import Timings
from service.web import responses
from service.web.questions import Questions, Told
from service.web.responses import PictureResponse


class Pictures:
    """Answers GET and HEAD below /image/ and /latent/."""

    def __init__(self, cache: EdgeCache, telemetry: Telemetry, questions: Questions) -> None:
        self._cache = cache
        self._telemetry = telemetry
        self._questions = questions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started_s = time.perf_counter()
        told, reply = Told(), None
        try:
            async with _while_client_waits(receive):
                reply = await self._reply(scope, told, started_s)
                await reply(scope, receive, send)
        except asyncio.CancelledError:
            if reply is not None:
                raise
            # The server's doing: what is under way has taken longer than it waits for (EDGE_DRAIN_S).
            self._count(told.res, Outcome.ERROR, started_s, sent_bytes=0)
            leaving = responses.problem(Leaving(), negotiated=told.negotiated, head=scope["method"] == "HEAD")
            await leaving(scope, receive, send)

    async def _reply(self, scope: Scope, told: Told, started_s: float) -> PictureResponse:
        head = scope["method"] == "HEAD"
        try:
            asked = self._questions.read(scope, told)
            timings = Timings()
            answer = await self._cache.answer(asked, timings)
        except EdgeError as error:
            self._report(error)
            self._count(told.res, Outcome.ERROR, started_s, sent_bytes=0)
            return responses.problem(error, negotiated=told.negotiated, head=head)
        except Exception:
            logging.getLogger(__name__).exception("a request failed in an unforeseen way")
            self._count(told.res, Outcome.ERROR, started_s, sent_bytes=0)
            return responses.problem(EdgeError(), negotiated=told.negotiated, head=head)
        self._telemetry.stages(timings)
        self._count(told.res, answer.outcome, started_s, sent_bytes=len(answer.body or b""))
        return responses.picture(answer, timings, negotiated=told.negotiated)

    def _count(self, res: str, outcome: Outcome, started_s: float, *, sent_bytes: int) -> None:
        seconds = time.perf_counter() - started_s
        self._telemetry.request(res=res, outcome=outcome, seconds=seconds, sent_bytes=sent_bytes)

    def _report(self, error: EdgeError) -> None:
        if error.report:
            logging.getLogger(__name__).warning("%s: %s", type(error).__name__, error)


@asynccontextmanager
async def _while_client_waits(receive: Receive) -> AsyncIterator[None]:
    """Cancel what is done for a client that has gone: its decode is then dropped from the queue."""
    request = asyncio.current_task()
    assert request is not None, "a request runs in a task"

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        request.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not watching.done():
            raise  # not the client's doing: the server is shutting down
        request.uncancel()
    finally:
        watching.cancel()
