"""All errors of the edge, with their statuses and their public sentences. No I/O, no framework.

EdgeError
├── SettingsError             the edge does not start; the message lists all faults of the settings
├── CannotListen              the edge does not start; its port is in use, or the user may not use it
├── TooFewFiles               the edge does not start; the limit of open files is below what a worker needs
├── RequestError         400  the client's request is invalid
│   ├── BadImageId
│   ├── BadResolution
│   ├── BadFormat
│   ├── LatentsDenied    401  a latent was requested without the token of this edge's children
│   ├── LatentsOff       404  this edge serves no latents
│   ├── FieldsTooLarge   431  the header fields are more than the edge forwards to the origin
│   ├── MalformedRequest      no HTTP that the edge understands, or without the one Host that it needs
│   ├── RequestTooSlow   408
│   ├── BodyTooLarge     413
│   ├── TargetTooLong    414
│   ├── HeadTooLarge     431
│   ├── UnknownCoding    501
│   ├── UnknownVersion   505
│   └── LoopDetected     508  edges forward requests to each other in a loop
├── SourceError               the origin's answer is not a picture that the edge can serve
│   ├── NotAPicture      415
│   ├── DamagedPicture   422
│   └── PictureTooLarge  413  too many bytes or pixels, found before a full decode, or too much work
├── OriginError               the origin sent no picture
│   ├── OriginRefused    4xx, 5xx: the origin's own status, passed on (rules/origin_refused.py)
│   ├── OriginUnreachable  502
│   ├── OriginBroken     502  a truncated body, a redirect to another host, or an invalid status
│   ├── UnusableLatent     502  a latent of other weights, or a damaged one
│   └── OriginTooSlow    504
├── CodecError
│   ├── QueueFull        503  refused at once, with Retry-After
│   │   └── DecoderAway       the codec is stopping, or its process has died or does not answer
│   ├── CodecFailed      500
│   └── DamagedBitstream      never reaches a client: the picture is fetched again
├── RecordError               never reaches a client: it is counted, and the request is a miss
│   ├── DamagedRecord
│   └── ForeignRecord         another layout, or a bitstream of other weights; it is overwritten
│       └── RecordOfOthers    a record that edges of another release still use; it stays in the store
├── DamagedMessage            never reaches a client: the decoder and its workers drop the message
├── StoreUnavailable          never reaches a client: the picture is resized from the origin's
└── Leaving              503  the edge is stopping, and this request exceeded EDGE_DRAIN_S
"""
# ruff: noqa: N818  (errors are named after the event; the tree above says that they are errors)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import ClassVar, Self

from service.reason import Reason
from service.rendition import MEDIA_TYPES, RES_VALUES

BEARER = 'Bearer realm="latentedge"'
"""The challenge to a client that has not the right token (RFC 6750 3)."""


class EdgeError(Exception):
    """An error, with its status, its sentence for clients (`public`), and whether it is logged (`report`)."""

    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    public: ClassVar[str] = "The edge failed to answer."
    report: ClassVar[bool] = True
    retry_after_s: ClassVar[int | None] = None
    challenge: ClassVar[str] = ""
    """How a client has to identify itself (RFC 9110 11.6.1)."""
    collapsed = False
    """Whether this is the error of another request's fetch, for which this request waited (RFC 9211 2.6)."""
    forwarded: Reason | None = None
    """Why the request was forwarded to the origin, if it was."""

    def for_waiter(self) -> Self:
        """Return a copy of this error for a request that waited for the failed one."""
        told = type(self).__new__(type(self), *self.args)
        told.__dict__.update(self.__dict__)
        told.collapsed = True
        return told


class SettingsError(EdgeError):
    """The settings in the environment are invalid, so the edge does not start."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(["the settings are invalid:", *(f"  {fault}" for fault in faults)]))
        self.faults = tuple(faults)


class CannotListen(EdgeError):
    """The server's address cannot be bound."""


class TooFewFiles(EdgeError):
    """The hard limit of open files is below what a worker needs."""


class RequestError(EdgeError):
    """The client's request is invalid."""

    status = HTTPStatus.BAD_REQUEST
    report = False


class BadImageId(RequestError):
    """The image id could lead outside the origin's folder, or is invalid."""

    public = (
        "An image id has at most 512 characters and no '.' or '..' segment (nor '..;'), scheme, backslash, control "
        "character or leading slash."
    )


class BadResolution(RequestError):
    """The argument `res` is not the name or the size of a rendition."""

    public = f"res is one of {', '.join(RES_VALUES)}, and is given once."


class BadFormat(RequestError):
    """The argument `fmt` is not a media type of the edge."""

    public = f"fmt is one of {', '.join(MEDIA_TYPES)}, and is given once."


class LatentsDenied(RequestError):
    """A request for a latent has no token, or not that of this edge."""

    status = HTTPStatus.UNAUTHORIZED
    public = "Latents are for edges that have this one as their parent: the token is missing or wrong."
    challenge = BEARER


class LatentsOff(RequestError):
    """A latent was asked for, and this edge hands out none."""

    status = HTTPStatus.NOT_FOUND
    public = "This edge hands out no latents: it has no EDGE_LATENT_TOKEN."


class FieldsTooLarge(RequestError):
    """The header fields to forward are more, or longer, than the edge forwards to an origin (RFC 6585 5)."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    public = "The request has too many header fields, or too long ones, to be forwarded to the origin."


class MalformedRequest(RequestError):
    """What came is no HTTP/1.1, or has no Host, two, or an impossible one (RFC 9112 3.2)."""

    public = "This is not a valid HTTP/1.1 request with one Host field."


class RequestTooSlow(RequestError):
    """The request took longer to arrive than EDGE_REQUEST_TIMEOUT_S."""

    status = HTTPStatus.REQUEST_TIMEOUT
    public = "The request took too long to arrive."


class BodyTooLarge(RequestError):
    """No route takes so much."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    public = "The content of the request is too large."


class TargetTooLong(RequestError):
    """Longer than any id and its arguments."""

    status = HTTPStatus.REQUEST_URI_TOO_LONG
    public = "The target of the request is longer than 8192 bytes."


class HeadTooLarge(RequestError):
    """More fields, or bytes, than EDGE_HEADER_FIELDS and EDGE_HEADER_BYTES."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    public = "The header fields of the request are too many, or too long."


class UnknownCoding(RequestError):
    """The body has a transfer coding other than chunked (RFC 9112 6.1)."""

    status = HTTPStatus.NOT_IMPLEMENTED
    public = "The edge understands no transfer coding but chunked."


class UnknownVersion(RequestError):
    """The major version is not 1."""

    status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    public = "The edge speaks HTTP/1.1 and HTTP/1.0."


class LoopDetected(RequestError):
    """The edges forward requests to each other in a loop (RFC 8586)."""

    status = HTTPStatus.LOOP_DETECTED
    public = "The edges forward requests to each other in a loop."
    report = True


class SourceError(EdgeError):
    """The origin's file cannot be served as a picture."""

    report = False
    label: ClassVar[str] = "unusable"
    """The label in metrics. A subclass without a label has that of its base class."""
    lifetime_s = 0
    """For how long the edge may remember this: as long as the origin's answer is fresh, within the operator's limit."""
    vary = ""
    """The Vary field of the origin's answer."""
    ttl_s: int | None = None
    """How long a remembered error still holds; None where the origin has just been asked."""

    @property
    def is_reusable(self) -> bool:
        """Whether this may answer other requests too (RFC 9111 4)."""
        return self.lifetime_s > 0 or self.ttl_s is not None


class NotAPicture(SourceError):
    """The origin's file is not of a known picture format."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    public = "The origin's file under this id is not a picture."
    label = "not_a_picture"


class DamagedPicture(SourceError):
    """The origin's file is of a known picture format, but truncated or damaged."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    public = "The origin's picture under this id is damaged."
    label = "damaged"


class PictureTooLarge(SourceError):
    """The origin's file has more bytes or pixels, or takes more time or memory, than the edge accepts."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    public = "The origin's picture under this id is too large."
    label = "too_large"


class OriginError(EdgeError):
    """The origin sent no picture."""

    label: ClassVar[str] = "failed"
    """The label in metrics. A subclass without a label has that of its base class."""


class OriginUnreachable(OriginError):
    """The edge cannot connect to the origin."""

    status = HTTPStatus.BAD_GATEWAY
    public = "The origin cannot be reached."
    label = "unreachable"


class OriginBroken(OriginError):
    """The origin's answer is truncated or invalid."""

    status = HTTPStatus.BAD_GATEWAY
    public = "The origin's answer was not usable."
    label = "broken"


class UnusableLatent(OriginError):
    """The origin or the parent sent a latent that this edge cannot decode."""

    status = HTTPStatus.BAD_GATEWAY
    public = "The origin's file under this id is not a latent that this edge can decode."


class DamagedLatent(UnusableLatent):
    """The latent is truncated, or its checksum or a field is wrong."""

    label = "damaged"


class ForeignLatent(UnusableLatent):
    """The latent is of other weights, or of another version or kind."""

    label = "foreign"


class OriginTooSlow(OriginError):
    """The origin did not answer in time."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    public = "The origin did not answer in time."
    label = "too_slow"


class CodecError(EdgeError):
    """The codec returned no result."""


class QueueFull(CodecError):
    """A queue is full, or the expected wait is too long."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "The edge is overloaded at the moment."
    report = False
    reason: ClassVar[Reason] = Reason.QUEUE_FULL
    """The reason in Cache-Status and in metrics if a picture is served without being encoded."""
    retry_after_s = 1


class DecoderAway(QueueFull):
    """The codec is stopping, or its process has died or did not answer in time. Each outage is logged once."""

    public = "The edge's decoder is not available at the moment."
    reason = Reason.DECODER_AWAY


class CodecFailed(CodecError):
    """The codec failed. If the accelerator had failed before, this was the CPU that replaces it."""

    public = "The picture could not be decoded."
    label: ClassVar[str] = "codec_failed"
    """The label in metrics, if a parent's latent was decoded."""


class DamagedBitstream(CodecError):
    """The bitstream of a record failed its own checks, although the record's checksum is right."""

    reason: ClassVar[Reason] = Reason.DAMAGED_RECORD


class RecordError(EdgeError):
    """The record in the store cannot be used."""

    reason: Reason = Reason.DAMAGED_RECORD
    """The reason in Cache-Status and in metrics for asking the origin instead."""


class DamagedRecord(RecordError):
    """The record is truncated, or its checksum or a field is wrong."""


class ForeignRecord(RecordError):
    """The record is valid, but of another layout or of other weights."""

    reason = Reason.FOREIGN_RECORD


class RecordOfOthers(ForeignRecord):
    """The record is of a newer release, or a recent one of other weights. Other edges still use it, so it stays."""

    def __init__(self, message: str, *, reason: Reason, value: bytes) -> None:
        super().__init__(message)
        self.reason = reason
        """The reason in Cache-Status and in metrics."""
        self.value = value
        """The string in the store."""


class DamagedMessage(EdgeError):
    """A message between a worker and the decoder cannot be parsed."""


class StoreUnavailable(EdgeError):
    """The store is down, too slow, or sent an invalid answer."""


class Leaving(EdgeError):
    """The request was cancelled at the end of EDGE_DRAIN_S."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "The edge is shutting down."
    report = False
    retry_after_s = 1


@contextmanager
def note_forward_reason(reason: Reason) -> Iterator[None]:
    """Store the reason for asking the origin in every error that this block raises."""
    try:
        yield
    except EdgeError as error:
        error.forwarded = reason
        raise
