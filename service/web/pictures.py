"""The routes of pictures and latents: one request becomes one question to the cache, its answer a response.

Plain ASGI because it is the hot path; what FastAPI adds is documentation (see `routes`). Writes no headers itself.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

from starlette.types import Receive, Scope, Send

from service.cache.edge_cache import EdgeCache
from service.errors import EdgeError, Leaving, SourceError
from service.metrics.outcomes import Outcome
from service.metrics.telemetry import Telemetry
from service.rules.origin_refused import OriginRefused
from service.web import responses
from service.web.access_log import AccessLog, Exchange
from service.web.questions import Questions
from service.web.request_id import request_id
from service.web.responses import PictureResponse

WATCHED_AFTER_S = 0.01
"""Assumed: what takes less is not worth a task that watches, which is a tenth of a hit from memory (measured)."""


class Pictures:
    """Answers GET and HEAD below /image/ and /latent/."""

    def __init__(self, cache: EdgeCache, telemetry: Telemetry, questions: Questions, log: AccessLog) -> None:
        self._cache = cache
        self._telemetry = telemetry
        self._questions = questions
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        exchange, reply = Exchange(scope, request_id(scope["headers"])), None
        try:
            with _Watch(receive):
                reply = await self._reply(exchange)
                await reply(scope, receive, send)
        except asyncio.CancelledError:
            if reply is not None:
                raise
            # The server's doing: what is under way has taken longer than it waits for (EDGE_DRAIN_S).
            reply = self._refused(exchange, Leaving())
            await reply(scope, receive, send)
        finally:
            self._log.ended(exchange, reply)

    async def _reply(self, exchange: Exchange) -> PictureResponse:
        try:
            asked = self._questions.read(exchange.scope, exchange.told)
            answer = await self._cache.answer(asked, exchange.timings)
        except EdgeError as error:
            self._report(error, exchange)
            return self._refused(exchange, error)
        except Exception:
            logging.getLogger(__name__).exception("request %s failed in an unforeseen way", exchange.request_id)
            return self._refused(exchange, EdgeError())
        self._telemetry.observe_stages(exchange.timings)
        self._count(exchange, answer.outcome, sent_bytes=len(answer.body or b""))
        if answer.forwarded is not None:
            self._telemetry.count_forward(answer.forwarded, answer.detail)
        reply = responses.picture(answer, exchange.timings, negotiated=exchange.told.negotiated)
        return responses.named(reply, exchange.request_id)

    def _refused(self, exchange: Exchange, error: EdgeError) -> PictureResponse:
        remembered = isinstance(error, OriginRefused | SourceError) and error.ttl_s is not None
        self._count(exchange, Outcome.HIT if remembered else Outcome.ERROR, sent_bytes=0)
        if error.forwarded is not None:
            self._telemetry.count_forward(error.forwarded, None)
        head = exchange.scope["method"] == "HEAD"
        return responses.named(
            responses.problem(error, negotiated=exchange.told.negotiated, head=head), exchange.request_id
        )

    def _count(self, exchange: Exchange, outcome: Outcome, *, sent_bytes: int) -> None:
        exchange.outcome = outcome
        self._telemetry.count_request(
            res=exchange.told.res, outcome=outcome, seconds=exchange.seconds, sent_bytes=sent_bytes
        )

    def _report(self, error: EdgeError, exchange: Exchange) -> None:
        if error.report:
            logging.getLogger(__name__).warning("%s: %s (request %s)", type(error).__name__, error, exchange.request_id)


class _Watch:
    """While it is held: cancel what is done for a client that has gone.

    Its decode is then dropped from the queue, but where files stay in memory: then it is made for whoever asks next.
    """

    def __init__(self, receive: Receive) -> None:
        request = asyncio.current_task()
        assert request is not None, "a request runs in a task"
        self._request = request
        self._receive = receive
        self._watching: asyncio.Task[None] | None = None
        self._beginning = asyncio.get_running_loop().call_later(WATCHED_AFTER_S, self._begin)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._beginning.cancel()
        watching = self._watching
        if watching is None:
            return False
        # Else it was not the client's doing: the server is shutting down.
        gone = kind is asyncio.CancelledError and watching.done()
        if gone:
            self._request.uncancel()
        watching.cancel()
        return gone

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._request.cancel()
