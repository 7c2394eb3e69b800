"""A PictureCodec that reads and writes screen streams itself, and leaves latents to the codec behind it.

    encode: worth the screen mode (EDGE_SCREEN=auto)? -> a screen stream, else the codec encodes a latent
    decode: a screen stream? -> decoded here, on a thread of its own, else the codec decodes the latent

Encodes have another thread than decodes, because a hit must not wait for an encode of 0.1 s.

A screen stream needs neither weights nor an accelerator. Every edge reads them, whatever EDGE_SCREEN is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from models.bitstream import BitstreamError, is_screen
from models.picture_array import Pixels
from models.screen.stream_ids import SCREEN_HEAD_ID, SCREEN_STREAM_ID
from service.errors import CodecError, CodecFailed, DamagedBitstream
from service.render.bounded_thread import BoundedThread
from service.render.codec_queue import QueueLimits
from service.render.jobs import Decoded, Search, Write
from service.render.picture_codec import CodecNames, PictureCodec
from service.rendition import RENDITIONS
from service.settings.quality import Quality


class ScreenCodec:
    """A codec for both kinds of streams. Call `start` before use and `close` after it."""

    def __init__(self, codec: PictureCodec, *, writes: bool, limits: QueueLimits) -> None:
        """Create a codec. `writes` allows new screen streams; `limits` are those of the queues of both threads."""
        self._codec = codec
        self._writes = writes
        self._decoding = BoundedThread("screen-decode", limits)
        self._encoding = BoundedThread("screen-encode", limits)
        self._compiling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the codec behind this one, and compile the loops if they will be needed. Raises the errors of both."""
        await self._codec.start()
        if self._writes:
            await self._compile_once()

    async def close(self) -> None:
        """Close the codec behind this one, and wait until the screen streams in progress are finished."""
        await self._codec.close()
        if self._compiling is not None:
            await asyncio.wait([self._compiling])
        await asyncio.to_thread(self._decoding.close)
        await asyncio.to_thread(self._encoding.close)

    @property
    def names(self) -> CodecNames:
        """Return the names of the codec of latents."""
        return self._codec.names

    @property
    def readable(self) -> Mapping[bytes, Mapping[int, bytes]]:
        """Return, for each stream id that can be decoded, the id of the head for each picture size in px."""
        return {SCREEN_STREAM_ID: {one.size_px: SCREEN_HEAD_ID for one in RENDITIONS}, **self._codec.readable}

    @property
    def is_there(self) -> bool:
        """Return whether the codec of latents takes work now."""
        return self._codec.is_there

    @property
    def runs_on_cpu(self) -> bool:
        """Return whether a thread of this process decodes latents on the CPU."""
        return self._codec.runs_on_cpu

    async def decode(self, bitstream: bytes, *, size_px: int, write: Write | None = None) -> Decoded:
        """Decode a stream of either kind, and return its picture and the file that `write` makes of the pixels.

        Raises QueueFull, DamagedBitstream or CodecFailed.
        """
        if not is_screen(bitstream):
            return await self._codec.decode(bitstream, size_px=size_px, write=write)
        submitted_s = time.perf_counter()
        with _failures():
            await self._compile_once()
            return await self._decoding.run(lambda: _decode(bitstream, size_px, write, submitted_s))

    async def encode(self, pixels: Pixels, *, quality: Quality, patient: bool = False) -> bytes:
        """Return the screen stream of a picture (344, 344, 3) if it is worth one, else its latent.

        Raises QueueFull or CodecFailed.
        """
        if self._writes:
            with _failures():
                stream = await self._encoding.run(lambda: _encode(pixels), patient=patient)
            if stream is not None:
                return stream
        return await self._codec.encode(pixels, quality=quality, patient=patient)

    async def demote(self, bitstream: bytes, *, quality: int) -> bytes:
        """Return the medium bitstream, at `quality`, that replaces a high latent. It is made while the codec is idle.

        Raises QueueFull, DamagedBitstream or CodecFailed.
        """
        return await self._codec.demote(bitstream, quality=quality)

    async def refine(self, pixels: Pixels, search: Search) -> bytes | None:
        """Return a better latent of a picture, found in seconds of idle time, or None if it misses its target score.

        Raises QueueFull or CodecFailed.
        """
        return await self._codec.refine(pixels, search)

    async def _compile_once(self) -> None:
        """Compile the loops, or wait until another call has done so.

        It is no job of the threads: the seconds without numba's cache would count as the time of a job, and the next
        requests would be refused.
        """
        if self._compiling is None:
            self._compiling = asyncio.create_task(asyncio.to_thread(_compile))
        await asyncio.shield(self._compiling)


@contextmanager
def _failures() -> Iterator[None]:
    """Turn every error that is none of the codec's into CodecFailed."""
    try:
        yield
    except CodecError:
        raise
    except Exception as error:
        raise CodecFailed(f"the screen mode failed: {error}") from error


def _compile() -> None:
    from models.screen.stream import compile_coder

    compile_coder()


def _encode(pixels: Pixels) -> bytes | None:
    from models.screen.stream import encode_if_smaller

    return encode_if_smaller(pixels)


def _decode(bitstream: bytes, size_px: int, write: Write | None, submitted_s: float) -> Decoded:
    from models.screen.stream import decode

    started_s = time.perf_counter()
    try:
        pixels = decode(bitstream, size_px=size_px)
    except BitstreamError as error:
        raise DamagedBitstream(f"the screen stream cannot be decoded: {error}") from error
    decoded_s = time.perf_counter()
    file = None if write is None else write(pixels)
    return Decoded(
        pixels,
        queue_s=started_s - submitted_s,
        entropy_s=decoded_s - started_s,
        synthesis_s=0.0,
        file=file,
        file_s=time.perf_counter() - decoded_s,
    )
