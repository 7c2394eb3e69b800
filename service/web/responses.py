"""The only writer of headers: answers and errors become responses here. Plain ASGI."""

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
from service.records.latent_facts import FIELD as FACTS
from service.rules.cache_tags import write_tags
from service.rules.http_date import http_date
from service.rules.origin_refused import OriginRefused
from service.rules.response_fields import PassedOn
from service.web.request_id import FIELD as REQUEST_ID

NAME = "latentedge"
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class PictureResponse:
    """A whole response: status, headers, body. An ASGI application."""

    status: int
    headers: Sequence[Header]
    body: bytes | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI's signature)
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body or b""})


def named(response: PictureResponse, request_id: str) -> PictureResponse:
    """With the name under which the log has it."""
    headers = [*response.headers, (REQUEST_ID, request_id.encode("ascii"))]
    return PictureResponse(response.status, headers, response.body)


def picture(answer: Answer, timings: Timings, *, negotiated: bool) -> PictureResponse:
    """200, 304, or another word of success that the origin had for it."""
    headers = [*_passed_on(answer.passed, negotiated=negotiated), (b"cache-status", _cache_status(answer).encode())]
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
    # RFC 9110 15.4.5: a 304 tells nothing of the picture but its entity tag and how it is cached.
    headers += _last_modified(answer.passed)
    headers.append((b"content-type", answer.media_type.encode()))
    if answer.body is not None:
        # HEAD has none: the length of a file that was never made is not known (RFC 9110 8.6).
        headers.append((b"content-length", str(len(answer.body)).encode()))
    return PictureResponse(answer.status, headers, answer.body)


def problem(error: EdgeError, *, negotiated: bool, head: bool) -> PictureResponse:
    """RFC 9457, with a sentence that tells the public nothing of the inside."""
    headers, body = _problem_fields(error, negotiated=negotiated), problem_body(error.status, error.public)
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if error.challenge:
        headers.append((b"www-authenticate", error.challenge.encode()))
    if error.status == HTTPStatus.NO_CONTENT:  # RFC 9110 15.3.5: the origin's word; there is nothing to tell of it
        return PictureResponse(error.status, headers, None)
    headers.append((b"content-type", b"application/problem+json"))
    if head:
        return PictureResponse(error.status, headers, None)
    return PictureResponse(error.status, [*headers, (b"content-length", str(len(body)).encode())], body)


def _problem_fields(error: EdgeError, *, negotiated: bool) -> list[Header]:
    # RFC 9111 4.2.2: some error statuses would be stored by whoever comes next, unless the origin says how.
    ours = PassedOn(cache_control="no-store", date=http_date(time.time()))
    if isinstance(error, OriginRefused):
        said = replace(error.fields.passed, date=error.fields.passed.date or ours.date)
        explicit = said.cache_control or said.cdn_cache_control or said.expires
        headers = _passed_on(said if explicit else replace(said, cache_control="no-store"), negotiated=negotiated)
        headers += [*_error_cache_status(error), *_last_modified(said)]
        said_of_it = error.fields.error_fields.lines.items()
        headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in said_of_it]
        if error.fields.age:
            headers.append((b"age", error.fields.age.encode("latin-1", "replace")))
        return headers
    headers = _passed_on(ours, negotiated=negotiated)
    return [*headers, *_error_cache_status(error)]


def _error_cache_status(error: EdgeError) -> list[Header]:
    """RFC 9211 2, for what the origin answered or did not answer: no other error comes out of the cache."""
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
    """The JSON of a problem whose type is its status (RFC 9457 4.2.1, about:blank)."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return json.dumps({"type": "about:blank", "title": title, "status": int(status), "detail": detail}).encode()


def _passed_on(passed: PassedOn, *, negotiated: bool) -> list[Header]:
    return [*_lines_passed_on(passed, negotiated)]


# The same pictures are asked for again and again; each line has the cap of a record, or is told once.
@lru_cache(maxsize=4096)
def _lines_passed_on(passed: PassedOn, negotiated: bool) -> tuple[Header, ...]:  # noqa: FBT001  (a key of the cache)
    """The origin's words, and what every answer has: each cache on the way is to read them as they were said."""
    said = {
        b"cache-control": passed.cache_control,
        b"cdn-cache-control": passed.cdn_cache_control,
        b"expires": passed.expires,
        b"date": passed.date,
        b"vary": _vary(passed.vary, negotiated=negotiated),
    }
    headers = [(name, value.encode("latin-1", "replace")) for name, value in said.items() if value]
    return (*headers, (b"x-content-type-options", b"nosniff"))


def _last_modified(passed: PassedOn) -> list[Header]:
    return [(b"last-modified", passed.last_modified.encode("latin-1", "replace"))] if passed.last_modified else []


def _vary(said: str, *, negotiated: bool) -> str:
    """RFC 9110 12.5.5: what was negotiated here varies by Accept too, whatever the origin said."""
    members = {name.strip().lower() for name in said.split(",")}
    if not negotiated or members & {"accept", "*"}:
        return said
    return f"{said}, Accept" if said else "Accept"


def _cache_status(answer: Answer) -> str:
    """RFC 9211 2."""
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
    told = answer.detail or forwarded
    if told is not None and told.detail:
        parts.append(f"detail={told.detail}")
    return "; ".join(parts)


def _server_timing(timings: Timings) -> str:
    return ", ".join([f"{stage.name};dur={stage.seconds * 1000:.2f}" for stage in timings.stages])
