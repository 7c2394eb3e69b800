"""The decoder process as an HTTP worker sees it. It has the methods of the codec on a thread.

    bitstream -> symbols (here) -> DECODE --bus--> decoder --bus--> PICTURE -> pixels -> file (here)

Every request has an end: an answer, a deadline, or the loss of the decoder. Requests that are under way when the
decoder is lost are sent once more when it is back; all of them may be done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from models.picture_array import Pixels
from service.bus.answer_messages import Answer, Encoded, Failure, Names, Picture, parse_answer
from service.bus.arrays import Buffer
from service.bus.fields import Header
from service.bus.link import Events, Link
from service.bus.request_messages import Cancel, Decode, Encode, Hello, Refine, Request, build_request
from service.bus.symbol_reader import SymbolReader
from service.errors import CodecFailed, DamagedMessage, DecoderAway, QueueFull
from service.render.jobs import Decoded, Search, Write
from service.render.picture_codec import CodecNames
from service.settings.quality import Quality

GREETING_S = 0.01
"""Assumed: until a new connection takes messages."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer is waited for."""

    start_s: float = 300.0
    """Assumed: longer than an accelerator takes to load and to warm up."""
    decode_s: float = 30.0
    """Assumed: clients have left long before; it bounds what a decoder that hangs costs."""
    encode_s: float = 120.0
    """Assumed: the same for an encode to a score on a slow processor, behind others."""


@dataclass(slots=True)
class _Asked:
    """A request under way."""

    request: Request
    future: asyncio.Future[Answer]
    lost: bool = False
    sent: int = 1


class DecoderClient:
    """Made, then started, then used, then closed, on one event loop."""

    def __init__(self, address: str, reader: SymbolReader, *, waiting: int, patience: Patience | None = None) -> None:
        self._reader = reader
        self._patience = patience or Patience()
        events = Events(on_message=self._receive, on_connected=self._connect, on_lost=self._lose)
        self._link = Link(address, events, waiting=waiting)
        self._numbers = count(1)
        self._asked: dict[int, _Asked] = {}
        self._names: CodecNames | None = None
        self._is_connected = False
        self._is_there = False
        self._is_silent = False
        """Whether an answer was missed since the last one came: the log says so once."""
        self._greeted = asyncio.Event()

    async def start(self) -> None:
        """Load what reads symbols, and wait for the decoder. Raises what loading raises, or DecoderAway."""
        await self._reader.start()
        self._link.open()
        try:
            async with asyncio.timeout(self._patience.start_s):
                await self._greeted.wait()
        except TimeoutError:
            raise DecoderAway(f"no decoder after {self._patience.start_s} s") from None

    async def close(self) -> None:
        """Fail every request that is still open, and close the socket."""
        self._is_connected = self._is_there = False
        for asked in self._asked.values():
            _settle(asked.future, DecoderAway("the edge is shutting down"))
        self._link.close()
        await asyncio.to_thread(self._reader.close)

    @property
    def names(self) -> CodecNames:
        """The names that the decoder has told last."""
        assert self._names is not None, "start() comes first"
        return self._names

    @property
    def readable(self) -> Mapping[bytes, Mapping[int, bytes]]:
        """The head ids by size of the one stream that the decoder reads."""
        return {self.names.stream_id: self.names.head_ids}

    @property
    def is_there(self) -> bool:
        """Whether the decoder takes requests now."""
        return self._is_there

    @property
    def is_processor(self) -> bool:
        """Whether a thread of this process decodes: never, so files are written on threads of their own."""
        return False

    async def decode(self, bitstream: bytes, *, size_px: int, write: Write | None = None) -> Decoded:
        """Return a rendition's pixels. Raises QueueFull, DecoderAway, DamagedBitstream or CodecFailed."""
        assert write is None, "the decoder writes no files"
        self._check()
        deadline_s = time.monotonic() + self._patience.decode_s
        read = await self._reader.read(bitstream)
        answer = await self._answer(Decode(read.symbols, size_px, deadline_s), deadline_s)
        if not isinstance(answer, Picture):
            raise CodecFailed(f"{type(answer).__name__} is no answer to a decode")
        return Decoded(
            answer.pixels,
            queue_s=read.queue_s + answer.queue_s,
            entropy_s=read.entropy_s,
            synthesis_s=answer.synthesis_s,
        )

    async def encode(self, pixels: Pixels, *, quality: Quality, patient: bool = False) -> bytes:
        """Return the bitstream of a high picture. Raises QueueFull, DecoderAway or CodecFailed."""
        deadline_s = time.monotonic() + self._patience.encode_s
        bitstream = await self._encoded(Encode(pixels, quality, patient, deadline_s), deadline_s)
        if bitstream is None:
            raise CodecFailed("an encode without a bitstream")
        return bitstream

    async def refine(self, pixels: Pixels, search: Search) -> bytes | None:
        """Return the best bitstream that is found, if any. No client waits for it. Raises as `encode` does."""
        return await self._encoded(Refine(pixels, search), math.inf)

    async def _encoded(self, request: Request, deadline_s: float) -> bytes | None:
        answer = await self._answer(request, deadline_s)
        if not isinstance(answer, Encoded):
            raise CodecFailed(f"{type(answer).__name__} is no answer to an encode")
        return answer.bitstream

    async def _answer(self, request: Request, deadline_s: float) -> Answer:
        self._check()
        number, future = next(self._numbers), asyncio.get_running_loop().create_future()
        self._asked[number] = _Asked(request, future)
        try:
            self._link.send(build_request(number, request))
            async with asyncio.timeout(None if math.isinf(deadline_s) else deadline_s - time.monotonic()):
                answer: Answer = await future
        except TimeoutError:
            self._miss_answer()
            raise DecoderAway("the decoder did not answer in time") from None
        finally:
            del self._asked[number]
            if future.cancelled():
                self._take_back(number)
        if isinstance(answer, Failure):
            raise answer.error()
        return answer

    def _miss_answer(self) -> None:
        if not self._is_silent:
            logging.getLogger(__name__).warning("the decoder does not answer in time")
        self._is_silent = True

    def _check(self) -> None:
        if not self._is_there:
            raise DecoderAway("the decoder is being started")

    def _take_back(self, number: int) -> None:
        with contextlib.suppress(QueueFull):  # it is dropped at its deadline
            if self._is_there:
                self._link.send(build_request(number, Cancel()))

    # What the link calls.

    def _connect(self) -> None:
        self._is_connected = True
        self._greet()

    def _greet(self) -> None:
        """Ask for the names. A connection is told of a moment before it takes messages."""
        if not self._is_connected:
            return
        try:
            self._link.send(build_request(0, Hello()))
        except QueueFull:
            asyncio.get_running_loop().call_later(GREETING_S, self._greet)

    def _lose(self) -> None:
        self._is_connected = False
        if self._is_there:
            logging.getLogger(__name__).warning("the decoder is away; %d requests wait for it", len(self._asked))
        self._is_there = False
        for asked in self._asked.values():
            asked.lost = True

    def _receive(self, frames: list[Buffer]) -> None:
        try:
            header = Header.parse(bytes(frames[0]) if frames else b"")
            answer = parse_answer(header, frames[1:])
        except DamagedMessage as error:
            logging.getLogger(__name__).warning("an answer of the decoder cannot be read: %s", error)
            return
        if isinstance(answer, Names):
            self._meet(answer.names)
            return
        self._is_silent = False
        if (asked := self._asked.get(header.number)) is not None:
            _settle(asked.future, answer)

    def _meet(self, names: CodecNames) -> None:
        if names.stream_id != self._reader.stream_id:
            logging.getLogger(__name__).error("the decoder has other weights than this worker; it is not asked")
            return
        self._names, self._is_there = names, True
        self._greeted.set()
        for number, asked in self._asked.items():
            if asked.lost:
                self._send_again(number, asked)

    def _send_again(self, number: int, asked: _Asked) -> None:
        if asked.sent > 1:
            _settle(asked.future, DecoderAway("the decoder was lost twice"))
            return
        asked.lost, asked.sent = False, asked.sent + 1
        try:
            self._link.send(build_request(number, asked.request))
        except QueueFull as error:
            _settle(asked.future, error)


def _settle(future: asyncio.Future[Answer], outcome: Answer | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
