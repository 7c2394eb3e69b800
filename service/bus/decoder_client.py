"""A client of the decoder process, with the interface of PictureCodec. Each HTTP worker has one client.

    bitstream -> symbols (here) -> DECODE --bus--> decoder --bus--> PICTURE -> pixels -> file (here)

Every request ends with an answer, at its deadline, or when the decoder dies twice. When a decoder that has died is
back, the requests in progress are sent again. That is safe, because all requests are idempotent.
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
from service.bus.request_messages import Cancel, Decode, Demote, Encode, Hello, Refine, Request, build_request
from service.bus.symbol_reader import SymbolReader
from service.errors import CodecFailed, DamagedMessage, DecoderAway, QueueFull
from service.render.jobs import Decoded, Search, Write
from service.render.picture_codec import CodecNames
from service.settings.quality import Quality

GREETING_S = 0.01
"""Seconds after which the first message on a new connection is tried again, if the socket did not take it (assumed)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The timeouts of requests to the decoder."""

    start_s: float = 300.0
    """The longest wait for the decoder at the start (assumed: loading the weights and warming up takes less)."""
    decode_s: float = 30.0
    """The longest wait for a decode, if the decoder hangs (assumed: clients disconnect much earlier)."""
    encode_s: float = 120.0
    """The longest wait for an encode (assumed: a slow CPU takes less, even with a target score and a full queue)."""


@dataclass(slots=True)
class _Pending:
    """A request that was sent to the decoder and has no answer yet."""

    request: Request
    future: asyncio.Future[Answer]
    lost: bool = False
    sent: int = 1


class DecoderClient:
    """A client of the decoder. Call `start` before use and `close` after it, all on one event loop."""

    def __init__(self, address: str, reader: SymbolReader, *, waiting: int, timeouts: Timeouts | None = None) -> None:
        self._reader = reader
        self._timeouts = timeouts or Timeouts()
        events = Events(on_message=self._receive, on_connected=self._connect, on_lost=self._lose)
        self._link = Link(address, events, waiting=waiting)
        self._numbers = count(1)
        self._pending: dict[int, _Pending] = {}
        self._names: CodecNames | None = None
        self._is_connected = False
        self._is_there = False
        self._is_silent = False
        """Whether a request has timed out since the last answer. Only the first of these timeouts is logged."""
        self._greeted = asyncio.Event()

    async def start(self) -> None:
        """Load the entropy decoder, and wait for the decoder process. Raises the errors of loading, or DecoderAway."""
        await self._reader.start()
        self._link.open()
        try:
            async with asyncio.timeout(self._timeouts.start_s):
                await self._greeted.wait()
        except TimeoutError:
            raise DecoderAway(f"the decoder process was not ready within {self._timeouts.start_s} s") from None

    async def close(self) -> None:
        """Fail every request in progress with DecoderAway, and close the connection."""
        self._is_connected = self._is_there = False
        for pending in self._pending.values():
            _settle(pending.future, DecoderAway("the edge is shutting down"))
        self._link.close()
        await asyncio.to_thread(self._reader.close)

    @property
    def names(self) -> CodecNames:
        """Return the codec's names that the decoder sent last."""
        assert self._names is not None, "start() comes first"
        return self._names

    @property
    def readable(self) -> Mapping[bytes, Mapping[int, bytes]]:
        """Return, for each stream id that can be decoded, the id of the head for each picture size in px."""
        ids = self._reader.stream_ids
        return {stream_id: head_ids for stream_id, head_ids in self.names.readable.items() if stream_id in ids}

    @property
    def is_there(self) -> bool:
        """Return whether the decoder process is connected and takes requests now."""
        return self._is_there

    @property
    def runs_on_cpu(self) -> bool:
        """Return False: another process decodes, so files are encoded on other threads of this process."""
        return False

    async def decode(self, bitstream: bytes, *, size_px: int, write: Write | None = None) -> Decoded:
        """Decode a latent, and return its picture (size_px, size_px, 3). `write` must be None.

        Raises QueueFull, DecoderAway, DamagedBitstream or CodecFailed.
        """
        assert write is None, "the decoder writes no files"
        self._check()
        deadline_s = time.monotonic() + self._timeouts.decode_s
        read = await self._reader.read(bitstream)
        answer = await self._answer(Decode(read.symbols, read.stream_id, size_px, deadline_s), deadline_s)
        if not isinstance(answer, Picture):
            raise CodecFailed(f"the decoder answered a decode with {type(answer).__name__} instead of a picture")
        return Decoded(
            answer.pixels,
            queue_s=read.queue_s + answer.queue_s,
            entropy_s=read.entropy_s,
            synthesis_s=answer.synthesis_s,
        )

    async def encode(self, pixels: Pixels, *, quality: Quality, patient: bool = False) -> bytes:
        """Return the bitstream of a picture (344, 344, 3). Raises QueueFull, DecoderAway or CodecFailed.

        With `patient`, no client waits, and the expected wait is not checked.
        """
        deadline_s = time.monotonic() + self._timeouts.encode_s
        bitstream = await self._request_bitstream(Encode(pixels, quality, patient, deadline_s), deadline_s)
        if bitstream is None:
            raise CodecFailed("the decoder answered an encode without a bitstream")
        return bitstream

    async def demote(self, bitstream: bytes, *, quality: int) -> bytes:
        """Return the medium bitstream, at `quality`, that replaces a high one. Has no timeout.

        Raises QueueFull, DecoderAway, DamagedBitstream or CodecFailed.
        """
        medium = await self._request_bitstream(Demote(bitstream, quality), math.inf)
        if medium is None:
            raise CodecFailed("the decoder answered a demotion without a bitstream")
        return medium

    async def refine(self, pixels: Pixels, search: Search) -> bytes | None:
        """Return a better bitstream of a picture (344, 344, 3), or None if the search finds none. Has no timeout.

        Raises QueueFull, DecoderAway or CodecFailed.
        """
        return await self._request_bitstream(Refine(pixels, search), math.inf)

    async def _request_bitstream(self, request: Request, deadline_s: float) -> bytes | None:
        answer = await self._answer(request, deadline_s)
        if not isinstance(answer, Encoded):
            raise CodecFailed(f"the decoder answered an encode with {type(answer).__name__} instead of a bitstream")
        return answer.bitstream

    async def _answer(self, request: Request, deadline_s: float) -> Answer:
        self._check()
        number, future = next(self._numbers), asyncio.get_running_loop().create_future()
        self._pending[number] = _Pending(request, future)
        try:
            self._link.send(build_request(number, request))
            async with asyncio.timeout(None if math.isinf(deadline_s) else deadline_s - time.monotonic()):
                answer: Answer = await future
        except TimeoutError:
            self._note_timeout()
            raise DecoderAway("the decoder process did not answer a request in time") from None
        finally:
            del self._pending[number]
            if future.cancelled():
                self._cancel(number)
        if isinstance(answer, Failure):
            raise answer.error()
        return answer

    def _note_timeout(self) -> None:
        if not self._is_silent:
            logging.getLogger(__name__).warning("the decoder does not answer in time")
        self._is_silent = True

    def _check(self) -> None:
        if not self._is_there:
            raise DecoderAway("the decoder process is not connected; it is started again if it has died")

    def _cancel(self, number: int) -> None:
        with contextlib.suppress(QueueFull):  # an unsent Cancel does no harm: the request ends at its deadline
            if self._is_there:
                self._link.send(build_request(number, Cancel()))

    # The methods below are the callbacks of the link to the decoder.

    def _connect(self) -> None:
        self._is_connected = True
        self._greet()

    def _greet(self) -> None:
        """Ask the decoder for its names, again and again until the socket of a new connection takes the message."""
        if not self._is_connected:
            return
        try:
            self._link.send(build_request(0, Hello()))
        except QueueFull:
            asyncio.get_running_loop().call_later(GREETING_S, self._greet)

    def _lose(self) -> None:
        self._is_connected = False
        if self._is_there:
            logging.getLogger(__name__).warning("the decoder is away; %d requests are waiting", len(self._pending))
        self._is_there = False
        for pending in self._pending.values():
            pending.lost = True

    def _receive(self, frames: list[Buffer]) -> None:
        try:
            header = Header.parse(bytes(frames[0]) if frames else b"")
            answer = parse_answer(header, frames[1:])
        except DamagedMessage as error:
            logging.getLogger(__name__).warning("an answer of the decoder cannot be read: %s", error)
            return
        if isinstance(answer, Names):
            self._accept(answer.names)
            return
        self._is_silent = False
        if (pending := self._pending.get(header.number)) is not None:
            _settle(pending.future, answer)

    def _accept(self, names: CodecNames) -> None:
        if names.stream_id != self._reader.stream_id:
            logging.getLogger(__name__).error("the decoder has other weights than this worker, so it is not used")
            return
        self._names, self._is_there = names, True
        self._greeted.set()
        for number, pending in self._pending.items():
            if pending.lost:
                self._send_again(number, pending)

    def _send_again(self, number: int, pending: _Pending) -> None:
        if pending.sent > 1:
            _settle(pending.future, DecoderAway("the decoder was lost twice"))
            return
        pending.lost, pending.sent = False, pending.sent + 1
        try:
            self._link.send(build_request(number, pending.request))
        except QueueFull as error:
            _settle(pending.future, error)


def _settle(future: asyncio.Future[Answer], outcome: Answer | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
