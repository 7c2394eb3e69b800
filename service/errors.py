"""All errors of the edge, with their HTTP statuses and their sentences for clients. No I/O, no framework.

EdgeError
├── SettingsError             the edge does not start; the message lists all invalid settings
├── CannotListen              the edge does not start; its port is in use, or the user may not use it
├── TooFewFiles               the edge does not start; the limit of open files is below what a worker needs
├── RequestError         400  the client's request is invalid
│   ├── BadImageId
│   ├── BadResolution
│   ├── BadFormat
│   ├── LatentsDenied    401  a latent was requested without the right token
│   ├── LatentsOff       404  this edge serves no latents
│   ├── NoSuchOrigin     404  the image id names no origin, or one that may not be asked for it
│   ├── WrongSignature   403  the URL has no signature of this edge's keys
│   │   └── SignatureExpired
│   ├── FieldsTooLarge   431  the header fields to forward to the origin are too many or too long
│   ├── MalformedRequest      not valid HTTP/1.1, or not exactly one valid Host field
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
│   └── PictureTooLarge  413  too many bytes or pixels, or too much CPU time or memory to decode
├── OriginError               the origin sent no picture
│   ├── OriginRefused    4xx, 5xx: the origin's own status, passed on (rules/origin_refused.py)
│   ├── OriginUnreachable  502
│   ├── OriginBroken     502  a truncated body, a redirect to another host, or an invalid status
│   ├── UnusableLatent     502  a latent of other weights, or a damaged one
│   ├── OriginTooSlow    504
│   └── OriginBusy       503  too many fetches wait for the origin; refused at once, with Retry-After
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
├── StoreUnavailable          never reaches a client: the origin's picture is resized and served
│   └── StoreFull             the same
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
"""The WWW-Authenticate challenge in a response to a request without the right token (RFC 6750 3)."""


class EdgeError(Exception):
    """An error with its HTTP status, its sentence for clients (`public`), and whether it is logged (`report`)."""

    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    public: ClassVar[str] = "The edge failed to answer."
    report: ClassVar[bool] = True
    retry_after_s: ClassVar[int | None] = None
    challenge: ClassVar[str] = ""
    """The value of WWW-Authenticate in the response (RFC 9110 11.6.1); empty for none."""
    collapsed = False
    """Whether the error came from another request's fetch, for which this request waited (RFC 9211 2.6)."""
    forwarded: Reason | None = None
    """Why the request was forwarded to the origin; None if it was not forwarded."""

    def for_waiter(self) -> Self:
        """Return a copy of this error for another request, which waited for the fetch that failed."""
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
    """The server cannot bind its address and port."""


class NoTemporaryFolder(EdgeError):
    """No folder can be written to, and the edge needs one for its store or between its processes."""


class TooFewFiles(EdgeError):
    """The hard limit of open files (`ulimit -Hn`) is below what a worker needs."""


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

    public = f"The argument res must be one of {', '.join(RES_VALUES)}, and must be given only once."


class BadFormat(RequestError):
    """The argument `fmt` is not a media type of the edge."""

    public = f"The argument fmt must be one of {', '.join(MEDIA_TYPES)}, and must be given only once."


class LatentsDenied(RequestError):
    """A request for a latent has no token, or a token that is not this edge's EDGE_LATENT_TOKEN."""

    status = HTTPStatus.UNAUTHORIZED
    public = "Only child edges of this edge get latents: the bearer token of the request is missing or wrong."
    challenge = BEARER


class LatentsOff(RequestError):
    """A latent was requested, but this edge serves none, because it has no EDGE_LATENT_TOKEN."""

    status = HTTPStatus.NOT_FOUND
    public = "This edge serves no latents, because it has no EDGE_LATENT_TOKEN."


class NoSuchOrigin(RequestError):
    """The image id does not begin with the name of an origin, or its patterns do not permit the id."""

    status = HTTPStatus.NOT_FOUND
    public = "This edge has no such picture: the image id names no origin, or a picture that it may not serve."


class WrongSignature(RequestError):
    """The URL of the picture has no signature, or one that none of this edge's keys has made."""

    status = HTTPStatus.FORBIDDEN
    public = "The URL of the picture is not signed, or its signature is not valid."


class SignatureExpired(WrongSignature):
    """The signature of the URL is valid, but its time is over."""

    public = "The signed URL of the picture has expired."


class FieldsTooLarge(RequestError):
    """The request's header fields are too many, or too long, to be forwarded to the origin (RFC 6585 5)."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    public = "The request has too many header fields, or too long ones, to be forwarded to the origin."


class MalformedRequest(RequestError):
    """The request is not valid HTTP/1.1, or does not have exactly one valid Host field (RFC 9112 3.2)."""

    public = "This is not a valid HTTP/1.1 request with one Host field."


class RequestTooSlow(RequestError):
    """The request took longer to arrive than EDGE_REQUEST_TIMEOUT_S."""

    status = HTTPStatus.REQUEST_TIMEOUT
    public = "The request took too long to arrive."


class BodyTooLarge(RequestError):
    """The request has more content than any route of the edge accepts."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    public = "The content of the request is too large."


class TargetTooLong(RequestError):
    """The request target is longer than 8192 bytes, which no image id with its arguments needs."""

    status = HTTPStatus.REQUEST_URI_TOO_LONG
    public = "The target of the request is longer than 8192 bytes."


class HeadTooLarge(RequestError):
    """The request has more header fields than EDGE_HEADER_FIELDS, or a head longer than EDGE_HEADER_BYTES."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    public = "The header fields of the request are too many, or too long."


class UnknownCoding(RequestError):
    """The request has a transfer coding other than chunked (RFC 9112 6.1)."""

    status = HTTPStatus.NOT_IMPLEMENTED
    public = "The only transfer coding that the edge accepts is chunked."


class UnknownVersion(RequestError):
    """The major HTTP version of the request is not 1."""

    status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    public = "The edge accepts only HTTP/1.1 and HTTP/1.0."


class LoopDetected(RequestError):
    """The edges forward requests to each other in a loop (RFC 8586)."""

    status = HTTPStatus.LOOP_DETECTED
    public = "The edges forward requests to each other in a loop."
    report = True


class SourceError(EdgeError):
    """The origin's file cannot be served as a picture."""

    report = False
    label: ClassVar[str] = "unusable"
    """The label of this error in metrics. Subclasses inherit it unless they set their own."""
    lifetime_s = 0
    """For how many seconds the error may be kept as a negative cache entry; 0 means not at all."""
    vary = ""
    """The Vary field of the origin's response."""
    ttl_s: int | None = None
    """For how many more seconds the negative cache entry is fresh; None if the error is not from the cache."""

    @property
    def is_reusable(self) -> bool:
        """Whether the error may also be sent to other requests for the picture (RFC 9111 4)."""
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
    """The label of this error in metrics. Subclasses inherit it unless they set their own."""


class OriginUnreachable(OriginError):
    """The edge cannot connect to the origin, or cannot send it the request."""

    status = HTTPStatus.BAD_GATEWAY
    public = "The origin cannot be reached."
    label = "unreachable"


class OriginBroken(OriginError):
    """The origin's response is truncated or invalid."""

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
    """The latent was encoded with other weights, or is of a version or kind that this edge cannot decode."""

    label = "foreign"


class OriginTooSlow(OriginError):
    """The origin did not answer in time."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    public = "The origin did not answer in time."
    label = "too_slow"


class OriginBusy(OriginError):
    """Too many fetches of this edge wait for the origin."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "Too many requests of the edge wait for the origin at the moment."
    report = False
    retry_after_s = 1
    label = "busy"


class CodecError(EdgeError):
    """The codec could not encode or decode a picture."""


class QueueFull(CodecError):
    """A queue of the edge is full, or the expected wait in it is too long."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "The edge is overloaded at the moment."
    report = False
    reason: ClassVar[Reason] = Reason.QUEUE_FULL
    """The reason in Cache-Status and in metrics if this error made the edge serve a picture without encoding it."""
    retry_after_s = 1


class DecoderAway(QueueFull):
    """The codec is stopping, or the decoder process has died or did not answer in time. Each outage is logged once."""

    public = "The edge's decoder is not available at the moment."
    reason = Reason.DECODER_AWAY


class CodecFailed(CodecError):
    """The codec raised an unexpected error. If the GPU had failed before, the CPU that replaced it has failed too."""

    public = "The picture could not be decoded."
    label: ClassVar[str] = "codec_failed"
    """The label in metrics if the codec failed on a latent of the parent."""


class DamagedBitstream(CodecError):
    """The bitstream of a record is invalid, although the record's own checksum matches."""

    reason: ClassVar[Reason] = Reason.DAMAGED_RECORD


class RecordError(EdgeError):
    """The record in the store cannot be used."""

    reason: Reason = Reason.DAMAGED_RECORD
    """The reason in Cache-Status and in metrics why the origin is asked instead of using the record."""


class DamagedRecord(RecordError):
    """The record is truncated, or its checksum or a field is wrong."""


class ForeignRecord(RecordError):
    """The record is valid, but has another layout, or a bitstream of other weights."""

    reason = Reason.FOREIGN_RECORD


class RecordOfOthers(ForeignRecord):
    """The record has a newer layout, or is recent and of other weights. Other edges may use it, so it is kept."""

    def __init__(self, message: str, *, reason: Reason, value: bytes) -> None:
        super().__init__(message)
        self.reason = reason
        """The reason in Cache-Status and in metrics why the record is not used."""
        self.value = value
        """The string in the store that holds the record."""


class DamagedMessage(EdgeError):
    """A message between a worker and the decoder cannot be parsed."""


class StoreUnavailable(EdgeError):
    """The store is down, too slow, or sent an invalid answer."""


class StoreFull(StoreUnavailable):
    """The store has no memory for a write, and evicts nothing. It can still be read, and keys can be deleted."""


class Leaving(EdgeError):
    """The edge is shutting down, and cancelled the request when EDGE_DRAIN_S had passed."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "The edge is shutting down."
    report = False
    retry_after_s = 1


@contextmanager
def note_forward_reason(reason: Reason) -> Iterator[None]:
    """Set `forwarded`, the reason for asking the origin, on every EdgeError that the block raises."""
    try:
        yield
    except EdgeError as error:
        error.forwarded = reason
        raise
