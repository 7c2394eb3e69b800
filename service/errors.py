"""Every error the edge can name. No I/O; knows nothing of frameworks.

EdgeError
├── SettingsError             the edge does not start; every fault of the environment in one message
├── CannotListen              the edge does not start; its port is in use, or not this user's to use
├── RequestError         400  the client asked for something that cannot be
│   ├── BadImageId
│   ├── BadResolution
│   ├── BadFormat
│   ├── LatentsDenied    401  a latent was asked for without the token of this edge's children
│   ├── LatentsOff       404  this edge hands out no latents
│   ├── FieldsTooLarge   431  more header fields than the edge passes on to the origin
│   └── LoopDetected     508  the edge's own request has come back to it
├── SourceError               the origin's answer is not a picture the edge can serve
│   ├── NotAPicture      415
│   ├── DamagedPicture   422
│   └── PictureTooLarge  413  too many bytes or too many pixels, found before a full decode
├── OriginError               the origin gave no picture
│   ├── OriginRefused    4xx, 5xx: its own status, passed on (rules/origin_refused.py)
│   ├── OriginUnreachable  502
│   ├── OriginBroken     502  truncated body, redirect elsewhere, a status that makes no sense
│   ├── UnusableLatent     502  a latent of other weights, or one that is damaged
│   └── OriginTooSlow    504
├── CodecError
│   ├── QueueFull        503  refused at once, with Retry-After
│   │   └── DecoderAway       the codec is ending, or its process has died or does not answer
│   ├── CodecFailed      500
│   └── DamagedBitstream      never reaches a client: the record is refetched
├── RecordError               never reaches a client: a miss, counted
│   ├── DamagedRecord
│   └── ForeignRecord         another layout, or a bitstream of other weights: overwritten
│       └── RecordOfOthers    one that edges of another release still read and write: left in the store
├── DamagedMessage            never reaches a client: the decoder and its workers drop it
├── StoreUnavailable          never reaches a client: the picture is resized from the origin
└── Leaving              503  the edge is stopped, and this request has taken too long to be finished
"""
# ruff: noqa: N818  (these are named after what happened; the tree above says that they are errors)

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
    """An error with its status, its sentence for clients, and whether the log reports it to the operator."""

    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    public: ClassVar[str] = "The edge failed to answer."
    report: ClassVar[bool] = True
    retry_after_s: ClassVar[int | None] = None
    challenge: ClassVar[str] = ""
    """How a client has to identify itself (RFC 9110 11.6.1)."""
    collapsed = False
    """Whether this request waited for another one, whose error it is (RFC 9211 2.6)."""
    forwarded: Reason | None = None
    """Why the origin was asked, if the error came of that."""

    def for_waiter(self) -> Self:
        """Return a copy of this error for a request that waited for the failed one."""
        told = type(self).__new__(type(self), *self.args)
        told.__dict__.update(self.__dict__)
        told.collapsed = True
        return told


class SettingsError(EdgeError):
    """The settings in the environment have faults, so the edge does not start."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(["the settings have faults:", *(f"  {fault}" for fault in faults)]))
        self.faults = tuple(faults)


class CannotListen(EdgeError):
    """The address of the server cannot be bound."""


class RequestError(EdgeError):
    """The client's request is at fault."""

    status = HTTPStatus.BAD_REQUEST
    report = False


class BadImageId(RequestError):
    """An id that could leave the origin's folder, or that no origin could hold."""

    public = (
        "An image id has at most 512 characters and no '.' or '..' segment, scheme, backslash, control character or "
        "leading slash."
    )


class BadResolution(RequestError):
    """A `res` that names no rendition."""

    public = f"res is one of {', '.join(RES_VALUES)}, and is given once."


class BadFormat(RequestError):
    """A `fmt` that names no media type."""

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
    """More header fields, or longer ones, than the edge passes on to an origin (RFC 6585 5)."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    public = "The header fields that would be passed on to the origin are too many, or too long."


class LoopDetected(RequestError):
    """Edges ask each other in a circle."""

    status = HTTPStatus.LOOP_DETECTED
    public = "The edges ask each other in a circle: this request was sent by this edge itself."
    report = True


class SourceError(EdgeError):
    """What the origin sent cannot be served as a picture."""

    report = False
    label: ClassVar[str] = "unusable"
    """How metrics name it: a subclass without a label of its own counts as its base."""


class NotAPicture(SourceError):
    """The bytes are of no known picture format."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    public = "What the origin holds under this id is not a picture."
    label = "not_a_picture"


class DamagedPicture(SourceError):
    """The format is known, the bytes are not a whole picture of it."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    public = "The picture that the origin holds under this id is damaged."
    label = "damaged"


class PictureTooLarge(SourceError):
    """The file has more bytes or pixels than the edge accepts."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    public = "The picture that the origin holds under this id is too large."
    label = "too_large"


class OriginError(EdgeError):
    """The origin gave no picture."""

    label: ClassVar[str] = "failed"
    """How metrics name it: a subclass without a label of its own counts as its base."""


class OriginUnreachable(OriginError):
    """No connection to the origin."""

    status = HTTPStatus.BAD_GATEWAY
    public = "The origin cannot be reached."
    label = "unreachable"


class OriginBroken(OriginError):
    """The origin's answer breaks off or makes no sense."""

    status = HTTPStatus.BAD_GATEWAY
    public = "The origin's answer was not usable."
    label = "broken"


class UnusableLatent(OriginError):
    """The origin or the parent sent a latent that this edge cannot decode."""

    status = HTTPStatus.BAD_GATEWAY
    public = "What the origin holds under this id is not a latent that this edge can read."


class DamagedLatent(UnusableLatent):
    """Truncated, flipped or impossible."""

    label = "damaged"


class ForeignLatent(UnusableLatent):
    """The latent seems to be whole, but it is of other weights or of another kind."""

    label = "foreign"


class OriginTooSlow(OriginError):
    """The origin did not answer in time."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    public = "The origin did not answer in time."
    label = "too_slow"


class CodecError(EdgeError):
    """The codec gave no picture."""


class QueueFull(CodecError):
    """More work is waiting than the edge can do in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "The edge has too much to do at the moment."
    report = False
    reason: ClassVar[Reason] = Reason.QUEUE_FULL
    """The reason in Cache-Status and in a metric when a picture is shown without being encoded."""
    retry_after_s = 1


class DecoderAway(QueueFull):
    """The codec is ending, or its process has died or did not answer in time. The log says so once for each outage."""

    public = "The edge's decoder is away for a moment."
    reason = Reason.DECODER_AWAY


class CodecFailed(CodecError):
    """The networks failed on the last device that was left."""

    public = "The picture could not be computed."
    label: ClassVar[str] = "codec_failed"
    """How metrics name it where a parent's latent was to be decoded."""


class DamagedBitstream(CodecError):
    """The bitstream passed the record's checksum and failed its own checks."""

    reason: ClassVar[Reason] = Reason.DAMAGED_RECORD


class RecordError(EdgeError):
    """What the store holds under a picture's key cannot be used."""

    reason: Reason = Reason.DAMAGED_RECORD
    """Why the origin is asked instead."""


class DamagedRecord(RecordError):
    """Truncated, flipped or impossible."""


class ForeignRecord(RecordError):
    """Whole, but of another layout or other weights."""

    reason = Reason.FOREIGN_RECORD


class RecordOfOthers(ForeignRecord):
    """The record is of a newer release, or a recent one of other weights: other edges still read it, so it stays."""

    def __init__(self, message: str, *, reason: Reason, value: bytes) -> None:
        super().__init__(message)
        self.reason = reason
        """What Cache-Status says of it, and the label under which metrics count it."""
        self.value = value
        """The string in the store."""


class DamagedMessage(EdgeError):
    """A message between a worker and the decoder that cannot be read."""


class StoreUnavailable(EdgeError):
    """The store is down, slow, or answers nonsense."""


class Leaving(EdgeError):
    """The request was cut off at the end of EDGE_DRAIN_S."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "The edge is being stopped."
    report = False
    retry_after_s = 1


@contextmanager
def forwarded_because(reason: Reason) -> Iterator[None]:
    """Let every error that comes of asking the origin in this block say why it was asked."""
    try:
        yield
    except EdgeError as error:
        error.forwarded = reason
        raise
