"""Convert the requests of an HTTP worker to the frames of a message to the decoder, and back. No I/O.

A deadline (`deadline_s`) is a time of CLOCK_MONOTONIC, which all processes of a machine share. The decoder drops a
request after its deadline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.config import QUALITIES
from models.picture_array import Pixels
from service.bus.arrays import Buffer, pixel_frame, read_pixels, read_symbols, symbol_frames
from service.bus.fields import Header, Kind
from service.errors import DamagedMessage
from service.render.jobs import Search
from service.rendition import RENDITIONS
from service.settings.quality import BEST_SCORE, Quality, TargetScore

if TYPE_CHECKING:
    from models.latent_codec import Symbols


@dataclass(frozen=True, slots=True)
class Hello:
    """Register a worker, and ask for the codec's names."""


@dataclass(frozen=True, slots=True)
class Decode:
    """Decode symbols to a picture (size_px, size_px, 3)."""

    symbols: Symbols
    stream_id: bytes
    """The stream id of the bitstream that held the symbols."""
    size_px: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Encode:
    """Encode a picture (344, 344, 3) to a bitstream."""

    pixels: Pixels
    quality: Quality
    patient: bool
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Refine:
    """Search for a better bitstream of a picture (344, 344, 3)."""

    pixels: Pixels
    search: Search


@dataclass(frozen=True, slots=True)
class Demote:
    """Make the medium bitstream, at `quality`, that replaces a high one."""

    bitstream: bytes
    quality: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the request whose number is in the header of this message, because its client has disconnected."""


Request = Hello | Decode | Encode | Refine | Demote | Cancel


def build_request(number: int, request: Request) -> list[Buffer]:
    """Return the frames of the message with this request."""
    match request:
        case Hello():
            return [Header(Kind.HELLO, number).build()]
        case Cancel():
            return [Header(Kind.CANCEL, number).build()]
        case Demote(bitstream, quality):
            return [Header(Kind.DEMOTE, number, (quality,)).build(), bitstream]
        case Decode(symbols, stream_id, size_px, deadline_s):
            symbol_bytes, frames = symbol_frames(symbols)
            fields = (size_px, symbols.quality, symbol_bytes, stream_id, deadline_s)
            return [Header(Kind.DECODE, number, fields).build(), *frames]
        case Encode(pixels, quality, patient, deadline_s):
            fixed, target = _pack_quality(quality)
            return _with_pixels(Kind.ENCODE, number, pixels, (fixed, target, patient, deadline_s))
        case Refine(pixels, search):
            _, target = _pack_quality(search.target or 0)
            return _with_pixels(Kind.REFINE, number, pixels, (search.quality, target, search.steps))


def parse_request(header: Header, frames: list[Buffer]) -> Request:
    """Return the request from its header and the frames after the header. Raises DamagedMessage."""
    match header.kind, header.fields:
        case Kind.HELLO, _:
            return _check_empty(Hello(), frames)
        case Kind.CANCEL, _:
            return _check_empty(Cancel(), frames)
        case Kind.DEMOTE, (int(quality),) if len(frames) == 1:
            return Demote(bytes(frames[0]), _quality(quality))
        case Kind.DECODE, (int(size_px), int(quality), int(symbol_bytes), bytes(stream_id), float(deadline_s)):
            if all(size_px != one.size_px for one in RENDITIONS):
                raise DamagedMessage(f"a decode to {size_px} px was requested, which is not the size of a rendition")
            symbols = read_symbols(frames, quality=quality, symbol_bytes=symbol_bytes)
            return Decode(symbols, stream_id, size_px, deadline_s)
        case Kind.ENCODE, (int(height_px), int(width_px), int(fixed), float(target), int(patient), float(deadline_s)):
            pixels = read_pixels(frames, height_px=height_px, width_px=width_px)
            return Encode(pixels, _target(target) or _quality(fixed), bool(patient), deadline_s)
        case Kind.REFINE, (int(height_px), int(width_px), int(quality), float(target), int(steps)):
            pixels = read_pixels(frames, height_px=height_px, width_px=width_px)
            return Refine(pixels, Search(quality=_quality(quality), steps=steps, target=_target(target)))
    raise DamagedMessage(f"a message of the kind {header.kind.name} is not a request")


def _with_pixels(kind: Kind, number: int, pixels: Pixels, fields: tuple[int | float, ...]) -> list[Buffer]:
    height_px, width_px = pixels.shape[:2]
    return [Header(kind, number, (height_px, width_px, *fields)).build(), pixel_frame(pixels)]


def _check_empty(request: Hello | Cancel, frames: list[Buffer]) -> Request:
    if frames:
        raise DamagedMessage(f"a message has {len(frames)} frames after its header; this kind has none")
    return request


def _pack_quality(quality: Quality) -> tuple[int, float]:
    """Return the two fields for a quality: (quality, NaN) for a fixed quality, or (0, score) for a target score."""
    return (0, quality.ssimulacra2) if isinstance(quality, TargetScore) else (quality, math.nan)


def _quality(number: int) -> int:
    if number >= QUALITIES:
        raise DamagedMessage(f"the quality {number} of a request is not in 0 to {QUALITIES - 1}")
    return number


def _target(score: float) -> TargetScore | None:
    if math.isnan(score):
        return None
    if not 0 <= score <= BEST_SCORE:
        raise DamagedMessage(f"the target score {score} of a request is not in 0 to {BEST_SCORE}")
    return TargetScore(score)
