"""Check the head of a request before routing, and write the response that refuses it. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.errors import (
    BodyTooLarge,
    EdgeError,
    HeadTooLarge,
    MalformedRequest,
    TargetTooLong,
    UnknownCoding,
    UnknownVersion,
)
from service.rules.host import host_fault
from service.serving.client_limits import BODY_CAP_BYTES, TARGET_CAP_BYTES
from service.web.responses import Header, problem

_FRAMING = {b"content-length", b"transfer-encoding"}


def check_size(target: bytes, fields: Sequence[Header], *, most_fields: int) -> None:
    """Raise TargetTooLong for a target of more than 8 KiB, or HeadTooLarge for more than `most_fields` fields."""
    if len(target) > TARGET_CAP_BYTES:
        raise TargetTooLong
    if len(fields) > most_fields:
        raise HeadTooLarge


def check_form(fields: Sequence[Header], *, version: str, upgrade: bool) -> None:
    """Raise UnknownVersion for a version other than 1.x, or MalformedRequest for an invalid head.

    A head needs one valid Host field (RFC 9112 3.2), and must not have both an Upgrade field and a body.
    """
    if not version.startswith("1."):  # RFC 9110 2.5: a higher minor version is read as 1.1
        raise MalformedRequest if version == "0.9" else UnknownVersion
    if fault := host_fault([value for name, value in fields if name == b"host"], version=version):
        raise MalformedRequest(f"the Host field of the request is invalid: {fault}")
    if upgrade and any(name in _FRAMING and value != b"0" for name, value in fields):
        raise MalformedRequest("a request with Upgrade must not have a body")


def body_length(fields: Sequence[Header]) -> int | None:
    """Return the length of a request's body in bytes, or None if it is chunked. Raises BodyTooLarge or UnknownCoding.

    The parser must have refused a repeated or invalid Content-Length, and a Content-Length with a Transfer-Encoding.
    """
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if codings and codings != [b"chunked"]:
        raise UnknownCoding
    if codings:
        return None
    length = next((int(value) for name, value in fields if name == b"content-length"), 0)
    if length > BODY_CAP_BYTES:
        raise BodyTooLarge
    return length


def with_path(target: bytes) -> bytes:
    """Return a target in absolute form: http://a/b unchanged, and for http://a?q, which has no path, only /?q."""
    parsed = httptools.parse_url(target)
    if parsed.path:
        return target
    return b"/?" + parsed.query if parsed.query else b"/"


def refusal(error: EdgeError, *, head: bool) -> bytes:
    """Return the bytes of a whole HTTP/1.1 response with this error and `Connection: close`.

    With `head`, the response has no body, because it answers a HEAD request.
    """
    reply = problem(error, negotiated=False, head=head)
    lines = [b"%b: %b\r\n" % line for line in (*reply.headers, (b"connection", b"close"))]
    return b"".join([STATUS_LINE[HTTPStatus(reply.status)], *lines, b"\r\n", reply.body or b""])
