"""The picture route: turns one request into one question to the cache, and the answer into a response.

Plain ASGI because it is the hot path; what FastAPI adds is documentation (see `routes`). Writes no headers itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope, Send

from service.cache.answer import Asked
from service.cache.edge_cache import EdgeCache
from service.errors import EdgeError, Leaving
from service.telemetry import Outcome, Telemetry, Timings
from service.web import responses
from service.web.conditional import Conditions
from service.web.negotiation import SIZE_NAMES, Query, negotiate, read_query
from service.web.responses import PictureResponse

PREFIX = "/image/"
_UNKNOWN_SIZE = "none"


class Pictures:
    """Answers GET and HEAD below /image/."""

    def __init__(self, cache: EdgeCache, telemetry: Telemetry) -> None:
        self._cache = cache
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started_s = time.perf_counter()
        reply = None
        try:
            async with _while_client_waits(receive):
                reply = await self._reply(scope, started_s)
                await reply(scope, receive, send)
        except asyncio.CancelledError:
            if reply is not None:
                raise
            # The server's doing: what is under way has taken longer than it waits for (EDGE_DRAIN_S).
            self._count(_UNKNOWN_SIZE, Outcome.ERROR, started_s, sent_bytes=0)
            await responses.problem(Leaving(), negotiated=True, head=scope["method"] == "HEAD")(scope, receive, send)

    async def _reply(self, scope: Scope, started_s: float) -> PictureResponse:
        head = scope["method"] == "HEAD"
        res, negotiated = _UNKNOWN_SIZE, True
        try:
            query = read_query(scope["query_string"].decode("latin-1"))
            negotiated = query.fmt is None
            asked = _asked(scope, query, head=head)
            res = SIZE_NAMES[asked.wanted.size_px]
            timings = Timings()
            answer = await self._cache.answer(asked, timings)
        except EdgeError as error:
            self._report(error)
            self._count(res, Outcome.ERROR, started_s, sent_bytes=0)
            return responses.problem(error, negotiated=negotiated, head=head)
        except Exception:
            logging.getLogger(__name__).exception("a request failed in an unforeseen way")
            self._count(res, Outcome.ERROR, started_s, sent_bytes=0)
            return responses.problem(EdgeError(), negotiated=negotiated, head=head)
        self._telemetry.stages(timings)
        self._count(res, answer.outcome, started_s, sent_bytes=len(answer.body or b""))
        return responses.picture(answer, timings, negotiated=negotiated)

    def _count(self, res: str, outcome: Outcome, started_s: float, *, sent_bytes: int) -> None:
        seconds = time.perf_counter() - started_s
        self._telemetry.request(res=res, outcome=outcome, seconds=seconds, sent_bytes=sent_bytes)

    def _report(self, error: EdgeError) -> None:
        if error.report:
            logging.getLogger(__name__).warning("%s: %s", type(error).__name__, error)


def _asked(scope: Scope, query: Query, *, head: bool) -> Asked:
    lines: dict[bytes, list[str]] = {b"accept": [], b"if-none-match": [], b"if-modified-since": []}
    for name, value in scope["headers"]:
        if name in lines:
            lines[name].append(value.decode("latin-1"))
    # RFC 9110 5.3: several lines are one list. Two dates are none (13.1.3): such a list is no date.
    accept, if_none_match, if_modified_since = (", ".join(values) if values else None for values in lines.values())
    wanted = negotiate(image_id=scope["path"].removeprefix(PREFIX), query=query, accept=accept or "")
    return Asked(wanted=wanted, conditions=Conditions(if_none_match, if_modified_since), head=head)


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
