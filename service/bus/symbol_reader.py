"""Bitstreams -> symbols in an HTTP worker: the exact part of the codec, on a thread and on the processor.

A damaged bitstream fails here and never reaches the decoder.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import CodecFailed, DamagedBitstream, QueueFull
from service.render.codec_queue import Pace, QueueLimits

if TYPE_CHECKING:
    from models.latent_codec import LatentCodec, Symbols

THREADS = 1
"""More workers use more processors better: one thread of Python is what an event loop leaves free."""


@dataclass(frozen=True, slots=True)
class ReadSymbols:
    """The symbols of a bitstream, how long it waited for the thread, and how long it took to read them."""

    symbols: Symbols
    queue_s: float
    entropy_s: float


class SymbolReader:
    """Made, then started, then used, then closed."""

    def __init__(self, weights: Path | None, *, kernels: str, threads: int, limits: QueueLimits) -> None:
        """The limits are those of the decoder's own queue."""
        self._weights = weights
        self._limits = limits
        self._waiting = 0
        self._pace = Pace()
        self._kernels = kernels
        # OpenMP counts by thread: one that is told nothing would share each small product among all processors.
        self._threads = ThreadPoolExecutor(THREADS, "entropy", initializer=_limit_threads, initargs=(threads,))
        self._codec: LatentCodec | None = None

    async def start(self) -> None:
        """Load the weights. Raises what loading raises."""
        self._codec = await asyncio.get_running_loop().run_in_executor(self._threads, self._load)

    def close(self) -> None:
        """Wait for the bitstream that is being read."""
        self._threads.shutdown(cancel_futures=True)

    @property
    def stream_id(self) -> bytes:
        """The stream id of the weights."""
        assert self._codec is not None, "start() comes first"
        return self._codec.stream_id

    async def read(self, bitstream: bytes) -> ReadSymbols:
        """Entropy-decode a bitstream. Raises QueueFull, DamagedBitstream or CodecFailed."""
        self._check_room()
        self._waiting += 1
        try:
            read = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._read, bitstream, time.perf_counter()
            )
        finally:
            self._waiting -= 1
        self._pace.taken(1)
        self._pace.done(read.entropy_s)
        return read

    def _check_room(self) -> None:
        if self._waiting >= self._limits.queue_items:
            raise QueueFull(f"{self._waiting} bitstreams wait to be read")
        wait_s = self._pace.seconds(self._waiting)
        if self._limits.wait_s and wait_s > self._limits.wait_s:
            raise QueueFull(f"{wait_s:.1f} s to wait until a bitstream is read")

    def _load(self) -> LatentCodec:
        from models.checkpoint import load
        from models.cpu.kernels import Kernels
        from models.latent_codec import LatentCodec

        checkpoint = load(self._weights)
        kernels = Kernels.choose(self._kernels, device="cpu")
        return LatentCodec(checkpoint, checkpoint.high, device="cpu", kernels=kernels)

    def _read(self, bitstream: bytes, submitted_s: float) -> ReadSymbols:
        from models.bitstream import BitstreamError

        assert self._codec is not None, "start() comes first"
        started_s = time.perf_counter()
        try:
            symbols = self._codec.read(bitstream)
        except BitstreamError as error:
            raise DamagedBitstream(str(error)) from error
        except Exception as error:
            raise CodecFailed(str(error)) from error
        return ReadSymbols(symbols, started_s - submitted_s, time.perf_counter() - started_s)


def _limit_threads(threads: int) -> None:
    """Let the products that this thread starts use so many."""
    import torch

    torch.set_num_threads(threads)
