"""The only writer of headers: answers and errors become responses here. Plain ASGI; no Date, the server writes that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from starlette.types import Receive, Scope, Send

from service.cache.edge_cache import Answer
from service.errors import EdgeError, OriginError, OriginRefused, SourceError
from service.telemetry import Outcome, Timings

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


def picture(answer: Answer, timings: Timings, *, negotiated: bool) -> PictureResponse:
    """200 or 304."""
    headers = [*_common(negotiated=negotiated), (b"cache-status", _cache_status(answer).encode())]
    if answer.entity_tag:
        headers.append((b"etag", answer.entity_tag.encode()))
    if answer.last_modified_s is not None:
        headers.append((b"last-modified", formatdate(answer.last_modified_s, usegmt=True).encode()))
    if answer.cache_control:
        headers.append((b"cache-control", answer.cache_control.encode("latin-1", "replace")))
    # RFC 9111 5.1: Age says that the origin did not make this answer for this request.
    if answer.age_s is not None and (answer.age_s or answer.outcome is Outcome.HIT):
        headers.append((b"age", str(answer.age_s).encode()))
    if timings.stages:
        headers.append((b"server-timing", _server_timing(timings).encode()))
    if answer.not_modified:
        return PictureResponse(HTTPStatus.NOT_MODIFIED, headers, None)
    headers.append((b"content-type", answer.media_type.encode()))
    if answer.body is not None:
        # HEAD has none: the length of a file that was never made is not known (RFC 9110 8.6).
        headers.append((b"content-length", str(len(answer.body)).encode()))
    return PictureResponse(HTTPStatus.OK, headers, answer.body)


def problem(error: EdgeError, *, negotiated: bool, head: bool) -> PictureResponse:
    """RFC 9457, with a sentence that tells the public nothing of the inside."""
    body = problem_body(error.status, error.public)
    headers = [
        *_common(negotiated=negotiated),
        (b"content-type", b"application/problem+json"),
        (b"cache-control", b"no-store"),  # RFC 9111 4.2.2: some error statuses would be stored otherwise
    ]
    if isinstance(error, OriginRefused):
        headers.append((b"cache-status", f"{NAME}; fwd=uri-miss; fwd-status={int(error.status)}".encode()))
    elif isinstance(error, OriginError | SourceError):
        headers.append((b"cache-status", f"{NAME}; fwd=uri-miss".encode()))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if head:
        return PictureResponse(error.status, headers, None)
    return PictureResponse(error.status, [*headers, (b"content-length", str(len(body)).encode())], body)


def problem_body(status: int, detail: str) -> bytes:
    """The JSON of a problem whose type is its status (RFC 9457 4.2.1, about:blank)."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return json.dumps({"type": "about:blank", "title": title, "status": int(status), "detail": detail}).encode()


def _common(*, negotiated: bool) -> list[Header]:
    headers = [(b"x-content-type-options", b"nosniff")]
    if negotiated:
        headers.append((b"vary", b"Accept"))  # RFC 9110 12.5.5: also on what has no picture in it
    return headers


def _cache_status(answer: Answer) -> str:
    """RFC 9211 2."""
    parts = [NAME, f"fwd={answer.forwarded}" if answer.forwarded else "hit"]
    if answer.outcome is Outcome.COLLAPSED:
        parts.append("collapsed")
    if answer.stored:
        parts.append("stored")
    if answer.ttl_s is not None:
        parts.append(f"ttl={answer.ttl_s}")
    if answer.detail:
        parts.append(f"detail={answer.detail}")
    return "; ".join(parts)


def _server_timing(timings: Timings) -> str:
    return ", ".join(f"{stage.name};dur={stage.seconds * 1000:.2f}" for stage in timings.stages)
