"""Turn the answers and errors of the cache into HTTP responses, with all their header fields. Plain ASGI."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus

from starlette.types import Receive, Scope, Send

from service.cache.answer import Answer
from service.errors import EdgeError, OriginError, SourceError
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.latent_facts import FIELD as FACTS
from service.rules.cache_tags import write_tags
from service.rules.expiry import limit_by_expiry
from service.rules.http_date import http_date
from service.rules.origin_refused import OriginRefused
from service.rules.response_fields import PassedOn
from service.web.own_fields import OwnFields
from service.web.request_id import FIELD as REQUEST_ID

NAME = "latentedge"
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class PictureResponse:
    """An HTTP response with its whole body, which is also the ASGI application that sends it."""

    status: int
    headers: Sequence[Header]
    body: bytes | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI's signature)
        """Send the response to the client."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body or b""})


def add_request_id(response: PictureResponse, request_id: str) -> PictureResponse:
    """Return the response with the field X-Request-ID added."""
    headers = [*response.headers, (REQUEST_ID, request_id.encode("ascii"))]
    return PictureResponse(response.status, headers, response.body)


def picture(answer: Answer, timings: Timings, *, negotiated: bool, own: OwnFields = ()) -> PictureResponse:
    """Return the response for an answer of the cache: 200, 304, or another 2xx status that the origin sent.

    `negotiated` says whether the media type depends on the request's Accept field. `own` replaces fields of the origin.
    """
    passed = _write_passed(answer.passed, negotiated=negotiated, own=own)
    headers = [*passed, (b"cache-status", _cache_status(answer).encode())]
    if answer.entity_tag:
        headers.append((b"etag", answer.entity_tag.encode("latin-1", "replace")))
    if answer.latent_facts:
        headers.append((FACTS.lower().encode(), answer.latent_facts.encode()))
    if answer.tags:
        headers += [(name.lower().encode(), value.encode()) for name, value in write_tags(answer.tags).items()]
    if answer.age:
        headers.append((b"age", answer.age.encode("latin-1", "replace")))
    if timings.stages:
        headers.append((b"server-timing", _server_timing(timings).encode()))
    if answer.not_modified:
        return PictureResponse(HTTPStatus.NOT_MODIFIED, headers, None)
    # RFC 9110 15.4.5: a 304 has the fields for caching, but none that describe the picture.
    headers += _write_last_modified(answer.passed)
    headers.append((b"content-type", answer.media_type.encode()))
    if answer.length_bytes is not None:
        # RFC 9110 8.6: the response to a HEAD omits Content-Length if no file was made, so that its length is unknown.
        headers.append((b"content-length", str(answer.length_bytes).encode()))
    return PictureResponse(answer.status, headers, answer.body)


def problem(
    error: EdgeError, *, negotiated: bool, head: bool, own: OwnFields = (), expires_s: int | None = None
) -> PictureResponse:
    """Return the problem document (RFC 9457) for an error, with the public sentence of the error as its detail.

    `expires_s` is when the signed URL expires: caches may keep an error of the origin no longer than a picture.
    """
    headers = _write_problem_fields(error, negotiated=negotiated, own=own, expires_s=expires_s)
    body = problem_body(error.status, error.public)
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if error.challenge:
        headers.append((b"www-authenticate", error.challenge.encode()))
    if error.status == HTTPStatus.NO_CONTENT:  # RFC 9110 15.3.5: a 204 of the origin has no content
        return PictureResponse(error.status, headers, None)
    headers += [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    return PictureResponse(error.status, headers, None if head else body)


def _write_problem_fields(error: EdgeError, *, negotiated: bool, own: OwnFields, expires_s: int | None) -> list[Header]:
    # RFC 9111 4.2.2: without no-store, a cache may store some error responses for a lifetime that it chooses.
    ours = PassedOn(cache_control="no-store", date=http_date(time.time()))
    if isinstance(error, OriginRefused):
        passed = replace(error.fields.passed, date=error.fields.passed.date or ours.date)
        explicit = passed.cache_control or passed.cdn_cache_control or passed.expires
        passed_on = passed if explicit else replace(passed, cache_control="no-store")
        if explicit and expires_s is not None:
            passed_on = limit_by_expiry(passed, age=error.fields.age, expires_s=expires_s, now_s=time.time())
        headers = _write_passed(passed_on, negotiated=negotiated, own=own)
        headers += [*_error_cache_status(error), *_write_last_modified(passed)]
        error_lines = error.fields.error_fields.lines.items()
        headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in error_lines]
        if error.fields.age:
            headers.append((b"age", error.fields.age.encode("latin-1", "replace")))
        return headers
    headers = _write_passed(ours, negotiated=negotiated, own=own)
    return [*headers, *_error_cache_status(error)]


def _error_cache_status(error: EdgeError) -> list[Header]:
    """Return the Cache-Status field (RFC 9211 2) of an error of the origin or its file; other errors have none."""
    refused = error if isinstance(error, OriginRefused) else None
    if isinstance(error, OriginRefused | SourceError) and error.ttl_s is not None:
        return [(b"cache-status", f"{NAME}; hit; ttl={error.ttl_s}".encode())]
    if error.forwarded is None or not isinstance(error, OriginError | SourceError):
        return []
    parts = [NAME, f"fwd={error.forwarded.fwd}"]
    if error.collapsed:
        parts.append("collapsed")
    if refused is not None:
        parts.append(f"fwd-status={int(refused.status)}")
    if error.forwarded.detail:
        parts.append(f"detail={error.forwarded.detail}")
    return [(b"cache-status", "; ".join(parts).encode())]


def problem_body(status: int, detail: str) -> bytes:
    """Return the JSON of a problem document of type about:blank, whose title is the status phrase (RFC 9457 4.2.1)."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return json.dumps({"type": "about:blank", "title": title, "status": int(status), "detail": detail}).encode()


def _write_passed(passed: PassedOn, *, negotiated: bool, own: OwnFields) -> list[Header]:
    return [*_write_passed_lines(passed, negotiated, own)]


# Cached, because popular pictures have the same fields each time: about 1 kB for each picture.
@lru_cache(maxsize=1024)
def _write_passed_lines(passed: PassedOn, negotiated: bool, own: OwnFields) -> tuple[Header, ...]:  # noqa: FBT001  (a key of the cache)
    """Return the origin's fields that are passed on, those of this edge's settings, and those of every response."""
    fields = {
        b"cache-control": passed.cache_control,
        b"cdn-cache-control": passed.cdn_cache_control,
        b"expires": passed.expires,
        b"date": passed.date,
        b"vary": _vary(passed.vary, negotiated=negotiated),
    }
    headers = [(name, value.encode("latin-1", "replace")) for name, value in fields.items() if value]
    others = {name.encode("latin-1"): value.encode("latin-1") for name, value in passed.others} | dict(own)
    return (*headers, *others.items(), (b"x-content-type-options", b"nosniff"))


def _write_last_modified(passed: PassedOn) -> list[Header]:
    return [(b"last-modified", passed.last_modified.encode("latin-1", "replace"))] if passed.last_modified else []


def _vary(origin_vary: str, *, negotiated: bool) -> str:
    """Return the origin's Vary value, with Accept added if Accept has decided the media type (RFC 9110 12.5.5)."""
    members = {name.strip().lower() for name in origin_vary.split(",")}
    if not negotiated or members & {"accept", "*"}:
        return origin_vary
    return f"{origin_vary}, Accept" if origin_vary else "Accept"


def _cache_status(answer: Answer) -> str:
    """Return the value of the Cache-Status field for an answer (RFC 9211 2)."""
    forwarded = answer.forwarded
    parts = [NAME, "hit" if forwarded is None else f"fwd={forwarded.fwd}"]
    if answer.origin_status is not None:
        parts.append(f"fwd-status={int(answer.origin_status)}")
    if answer.collapsed:
        parts.append("collapsed")
    if answer.stored:
        parts.append("stored")
    if answer.ttl_s is not None:
        parts.append(f"ttl={answer.ttl_s}")
    reason = Reason.GENERATED if answer.is_generated else answer.detail or forwarded
    if reason is not None and reason.detail:
        parts.append(f"detail={reason.detail}")
    return "; ".join(parts)


def _server_timing(timings: Timings) -> str:
    return ", ".join([f"{stage.name};dur={stage.seconds * 1000:.2f}" for stage in timings.stages])
