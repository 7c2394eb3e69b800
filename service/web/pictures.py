"""Answer requests for pictures and latents: read the request, ask the cache, write the response and the log.

This is plain ASGI because most requests come here; FastAPI only documents these routes (see `routes`). `responses`
writes the header fields.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from types import TracebackType

from starlette.types import Receive, Scope, Send

from service.cache.answer import Answer
from service.cache.edge_cache import EdgeCache
from service.errors import EdgeError, Leaving, SourceError
from service.metrics.outcomes import FileSource, Outcome
from service.metrics.telemetry import Telemetry
from service.rules.expiry import limit_by_expiry
from service.rules.origin_refused import OriginRefused
from service.shadow.sampler import Sampler
from service.web import responses
from service.web.access_log import AccessLog, Exchange
from service.web.error_log import ErrorLog
from service.web.own_fields import OwnFields
from service.web.questions import LATENTS, Questions, RequestFacts
from service.web.request_id import choose_request_id
from service.web.responses import PictureResponse

WATCH_AFTER_S = 0.01
"""Seconds after which a request starts to watch for a disconnect of its client (assumed).

Shorter requests do without, because the task takes a tenth of the time of a hit from memory (measured).
"""


class Pictures:
    """The ASGI application that answers GET and HEAD below /image/ and /latent/."""

    def __init__(
        self,
        cache: EdgeCache,
        telemetry: Telemetry,
        questions: Questions,
        *,
        log: AccessLog,
        sampler: Sampler,
        own: OwnFields,
    ) -> None:
        """`own` holds the response fields that the settings add to every picture."""
        self._cache = cache
        self._sampler = sampler
        self._telemetry = telemetry
        self._questions = questions
        self._log = log
        self._own = own
        self._errors = ErrorLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, count it and log it."""
        exchange, response = Exchange(scope, choose_request_id(scope["headers"])), None
        try:
            with _DisconnectWatch(receive):
                response = await self._respond(exchange)
                await response(scope, receive, send)
        except asyncio.CancelledError:
            if response is not None:
                raise
            # The server cancelled the request at the end of EDGE_DRAIN_S, because it is shutting down.
            response = self._respond_with_error(exchange, Leaving())
            await response(scope, receive, send)
        finally:
            self._log.add(exchange, response)

    async def _respond(self, exchange: Exchange) -> PictureResponse:
        try:
            asked = self._questions.read(exchange.scope, exchange.facts)
            answer = _limit_by_expiry(await self._cache.answer(asked, exchange.timings), exchange.facts)
        except EdgeError as error:
            self._errors.report(error, exchange.request_id)
            return self._respond_with_error(exchange, error)
        except Exception:
            logging.getLogger(__name__).exception("request %s failed with an unexpected error", exchange.request_id)
            return self._respond_with_error(exchange, EdgeError())
        self._telemetry.requests.observe_stages(exchange.timings)
        self._count(exchange, answer.outcome, sent_bytes=len(answer.body or b""), source=answer.source)
        if answer.is_generated:
            self._telemetry.demotions.count_generated()
        if not asked.wanted.is_latent:
            self._sampler.note(
                asked.wanted.image_id, size_px=asked.wanted.size_px, outcome=answer.outcome, record=answer.record
            )
        if answer.forwarded is not None:
            self._telemetry.requests.count_forward(answer.forwarded, answer.detail)
        response = responses.picture(
            answer, exchange.timings, negotiated=exchange.facts.negotiated, own=self._own_of(exchange)
        )
        return responses.add_request_id(response, exchange.request_id)

    def _respond_with_error(self, exchange: Exchange, error: EdgeError) -> PictureResponse:
        remembered = isinstance(error, OriginRefused | SourceError) and error.ttl_s is not None
        self._count(exchange, Outcome.HIT if remembered else Outcome.ERROR, sent_bytes=0)
        if error.forwarded is not None:
            self._telemetry.requests.count_forward(error.forwarded, None)
        response = responses.problem(
            error,
            negotiated=exchange.facts.negotiated,
            head=exchange.scope["method"] == "HEAD",
            own=self._own_of(exchange),
            expires_s=exchange.facts.expires_s,
        )
        return responses.add_request_id(response, exchange.request_id)

    def _own_of(self, exchange: Exchange) -> OwnFields:
        # A child edge stores what its parent sends, and has settings of its own.
        return () if exchange.scope["path"].startswith(LATENTS) else self._own

    def _count(
        self, exchange: Exchange, outcome: Outcome, *, sent_bytes: int, source: FileSource = FileSource.NONE
    ) -> None:
        exchange.outcome = outcome
        res, seconds = exchange.facts.res, exchange.seconds
        self._telemetry.requests.count(res=res, outcome=outcome, seconds=seconds, sent_bytes=sent_bytes)
        if outcome is Outcome.HIT:
            self._telemetry.requests.count_hit(res=res, source=source, seconds=seconds)


def _limit_by_expiry(answer: Answer, facts: RequestFacts) -> Answer:
    if facts.expires_s is None:
        return answer
    passed = limit_by_expiry(answer.passed, age=answer.age, expires_s=facts.expires_s, now_s=time.time())
    return replace(answer, passed=passed)


class _DisconnectWatch:
    """A context manager that cancels the present request if its client disconnects during the block.

    The decode of a cancelled request is dropped from the queue. With an in-memory cache the decode continues, and its
    file is kept for the next request.
    """

    def __init__(self, receive: Receive) -> None:
        request = asyncio.current_task()
        assert request is not None, "a request runs in a task"
        self._request = request
        self._receive = receive
        self._watch_task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._start)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._timer.cancel()
        watch_task = self._watch_task
        if watch_task is None:
            return False
        # If the watch task is still running, the server cancelled the request, and the client is still connected.
        has_left = kind is asyncio.CancelledError and watch_task.done()
        if has_left:
            self._request.uncancel()
        watch_task.cancel()
        return has_left

    def _start(self) -> None:
        self._watch_task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._request.cancel()
