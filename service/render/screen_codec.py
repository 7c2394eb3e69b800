"""A PictureCodec that reads and writes screen streams itself, and leaves latents to the codec behind it.

    encode: worth the screen mode (EDGE_SCREEN=auto)? -> a screen stream, else the codec encodes a latent
    decode: a screen stream? -> decoded here, on a thread of its own, else the codec decodes the latent

A screen stream needs neither weights nor an accelerator. Every edge reads them, whatever EDGE_SCREEN is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from models.bitstream import BitstreamError, is_screen
from models.picture_array import Pixels
from models.screen.stream_ids import SCREEN_HEAD_ID, SCREEN_STREAM_ID
from service.errors import CodecError, CodecFailed, DamagedBitstream, QueueFull
from service.render.jobs import Decoded, Search, Write
from service.render.picture_codec import CodecNames, PictureCodec
from service.rendition import RENDITIONS
from service.settings.quality import Quality

Result = TypeVar("Result")


class ScreenCodec:
    """A codec for both kinds of streams. Call `start` before use and `close` after it."""

    def __init__(self, codec: PictureCodec, *, writes: bool, waiting: int) -> None:
        """Create a codec. `writes` allows new screen streams; `waiting` is the most decodes and encodes that wait."""
        self._codec = codec
        self._writes = writes
        self._free = waiting
        self._thread = ThreadPoolExecutor(1, "screen")

    async def start(self) -> None:
        """Start the codec behind this one, and compile the loops if they will be needed. Raises the errors of both."""
        await self._codec.start()
        if self._writes:
            await self._run(_compile)

    async def close(self) -> None:
        """Close the codec behind this one, and wait until the screen stream in progress is finished."""
        await self._codec.close()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

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
        return await self._run(lambda: _decode(bitstream, size_px, write, submitted_s))

    async def encode(self, pixels: Pixels, *, quality: Quality, patient: bool = False) -> bytes:
        """Return the screen stream of a picture (344, 344, 3) if it is worth one, else its latent.

        Raises QueueFull or CodecFailed.
        """
        stream = await self._run(lambda: _encode(pixels)) if self._writes else None
        return stream or await self._codec.encode(pixels, quality=quality, patient=patient)

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

    async def _run(self, call: Callable[[], Result]) -> Result:
        if not self._free:
            raise QueueFull("too many screen streams wait to be decoded or encoded")
        self._free -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except CodecError:
            raise
        except Exception as error:
            raise CodecFailed(f"the screen mode failed: {error}") from error
        finally:
            self._free += 1


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
