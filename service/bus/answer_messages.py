"""Convert the decoder's answers to the frames of a message, and back. No I/O."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum

from pydantic import BaseModel, ConfigDict, ValidationError

from models.picture_array import Pixels
from service.bus.arrays import Buffer, pixel_frame, read_pixels
from service.bus.fields import Header, Kind
from service.errors import CodecError, CodecFailed, DamagedBitstream, DamagedMessage, DecoderAway, QueueFull
from service.render.picture_codec import CodecNames


class Fault(IntEnum):
    """The class of the error with which a request failed, as a number in the message."""

    CODEC_FAILED = 1
    QUEUE_FULL = 2
    DAMAGED_BITSTREAM = 3
    DECODER_AWAY = 4


_ERRORS: dict[Fault, type[CodecError]] = {
    Fault.CODEC_FAILED: CodecFailed,
    Fault.DECODER_AWAY: DecoderAway,  # before its base class QueueFull, because the first match is taken
    Fault.QUEUE_FULL: QueueFull,
    Fault.DAMAGED_BITSTREAM: DamagedBitstream,
}


@dataclass(frozen=True, slots=True)
class Names:
    """The stream id and head ids of the codec: the answer to Hello, and sent to all workers when the ids change."""

    names: CodecNames


@dataclass(frozen=True, slots=True)
class Picture:
    """The result of a decode: the pixels (size_px, size_px, 3), and the times of queueing and synthesis."""

    pixels: Pixels
    queue_s: float
    synthesis_s: float


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bitstream that an encode or a search made; None if the search found no better one."""

    bitstream: bytes | None


@dataclass(frozen=True, slots=True)
class Failure:
    """The error with which a request failed."""

    fault: Fault
    sentence: str

    @classmethod
    def of(cls, error: CodecError) -> Failure:
        """Return the failure message for an error of the codec."""
        fault = next((fault for fault, kind in _ERRORS.items() if isinstance(error, kind)), Fault.CODEC_FAILED)
        return cls(fault, str(error))

    def error(self) -> CodecError:
        """Return the error that the worker raises for this failure."""
        return _ERRORS[self.fault](self.sentence)


Answer = Names | Picture | Encoded | Failure


class _NamesBody(BaseModel):
    """The stream id, head ids and other names of the codec as JSON, with bytes as hexadecimal digits."""

    model_config = ConfigDict(extra="forbid")

    device: str
    head: str
    kernels: str
    stream_id: str
    default_quality: int
    readable: dict[str, dict[int, str]]


def build_answer(number: int, answer: Answer) -> list[Buffer]:
    """Return the frames of the message with this answer to request `number`."""
    match answer:
        case Names(names):
            return [Header(Kind.NAMES, number).build(), _names_frame(names)]
        case Picture(pixels, queue_s, synthesis_s):
            fields = (len(pixels), queue_s, synthesis_s)
            return [Header(Kind.PICTURE, number, fields).build(), pixel_frame(pixels)]
        case Encoded(bitstream):
            header = Header(Kind.NOTHING if bitstream is None else Kind.BITSTREAM, number).build()
            return [header] if bitstream is None else [header, bitstream]
        case Failure(fault, sentence):
            return [Header(Kind.FAILURE, number, (fault,)).build(), sentence.encode("utf-8", "replace")]


def parse_answer(header: Header, frames: list[Buffer]) -> Answer:
    """Return the answer from its header and the frames after the header. Raises DamagedMessage."""
    match header.kind, header.fields, frames:
        case Kind.NAMES, _, [body]:
            return Names(_read(bytes(body)))
        case Kind.PICTURE, (int(size_px), float(queue_s), float(synthesis_s)), _:
            return Picture(read_pixels(frames, height_px=size_px, width_px=size_px), queue_s, synthesis_s)
        case Kind.NOTHING, _, []:
            return Encoded(None)
        case Kind.BITSTREAM, _, [body]:
            return Encoded(bytes(body))
        case Kind.FAILURE, (int(fault),), [body] if fault in Fault.__members__.values():
            return Failure(Fault(fault), bytes(body).decode("utf-8", "replace"))
    raise DamagedMessage(f"a {header.kind.name} message with {len(frames)} frames after its header is no valid answer")


def _names_frame(names: CodecNames) -> bytes:
    readable = {
        stream_id.hex(): {size_px: head_id.hex() for size_px, head_id in head_ids.items()}
        for stream_id, head_ids in names.readable.items()
    }
    body = _NamesBody(**asdict(names) | {"stream_id": names.stream_id.hex(), "readable": readable})
    return body.model_dump_json().encode()


def _read(body: bytes) -> CodecNames:
    try:
        read = _NamesBody.model_validate_json(body)
        readable = {
            bytes.fromhex(stream_id): {size_px: bytes.fromhex(head_id) for size_px, head_id in head_ids.items()}
            for stream_id, head_ids in read.readable.items()
        }
        return CodecNames(**read.model_dump() | {"stream_id": bytes.fromhex(read.stream_id), "readable": readable})
    except (ValidationError, ValueError) as error:
        raise DamagedMessage(f"the JSON with the names of the codec is invalid: {error}") from error
