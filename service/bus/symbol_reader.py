"""Entropy-decode bitstreams to symbols in an HTTP worker, on a thread of its own and on the CPU.

A damaged bitstream fails here, so that it never reaches the decoder process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import CodecFailed, DamagedBitstream, QueueFull
from service.render.codec_queue import Pace, QueueLimits

if TYPE_CHECKING:
    from models.latent_codec import LatentCodec, Symbols

THREADS = 1
"""The number of threads that entropy-decode. More would wait for Python's GIL; more worker processes use more cores."""


@dataclass(frozen=True, slots=True)
class ReadSymbols:
    """The symbols of a bitstream, its stream id, the wait for the thread, and the time of the entropy decoding."""

    symbols: Symbols
    stream_id: bytes
    queue_s: float
    entropy_s: float


class SymbolReader:
    """The entropy decoder of an HTTP worker. Call `start` before use and `close` after it."""

    def __init__(self, weights: Path | None, *, kernels: str, threads: int, limits: QueueLimits) -> None:
        """Create a reader. `limits` are the decoder's queue limits, which apply to waiting bitstreams too."""
        self._weights = weights
        self._limits = limits
        self._waiting = 0
        self._pace = Pace()
        self._kernels = kernels
        # OpenMP's limit of threads is set per thread. Without it, each small matrix product would use all cores.
        self._threads = ThreadPoolExecutor(THREADS, "entropy", initializer=_limit_threads, initargs=(threads,))
        self._codecs: dict[bytes, LatentCodec] = {}
        """The codec of each stream id; the first one is that of high latents."""

    async def start(self) -> None:
        """Load the weights on the reader's thread. Raises the errors of loading."""
        self._codecs = await asyncio.get_running_loop().run_in_executor(self._threads, self._load)

    def close(self) -> None:
        """Cancel the bitstreams that wait, and wait until the one in progress is decoded."""
        self._threads.shutdown(cancel_futures=True)

    @property
    def stream_id(self) -> bytes:
        """Return the stream id of the high latents of the loaded weights."""
        assert self._codecs, "start() comes first"
        return next(iter(self._codecs))

    @property
    def stream_ids(self) -> Collection[bytes]:
        """Return the stream ids of all bitstreams that can be read: those of high and of medium latents."""
        return self._codecs.keys()

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
        self._pace.begin(1)
        self._pace.end(read.entropy_s)
        return read

    def _check_room(self) -> None:
        if self._waiting >= self._limits.queue_items:
            raise QueueFull(f"{self._waiting} bitstreams wait to be entropy-decoded, which is the limit")
        wait_s = self._pace.seconds(self._waiting)
        if self._limits.wait_s and wait_s > self._limits.wait_s:
            raise QueueFull(
                f"the expected wait for entropy decoding is {wait_s:.1f} s, above the limit of {self._limits.wait_s} s"
            )

    def _load(self) -> dict[bytes, LatentCodec]:
        from models.checkpoint import load, load_medium
        from models.cpu.kernels import Kernels
        from models.latent_codec import LatentCodec
        from models.medium_codec import MediumCodec

        checkpoint = load(self._weights)
        kernels = Kernels.choose(self._kernels, device="cpu")
        high = LatentCodec(checkpoint.notes, checkpoint.high, device="cpu", kernels=kernels)
        medium = MediumCodec(load_medium(self._weights), device="cpu", kernels=kernels)
        return {high.stream_id: high, medium.stream_id: medium}

    def _read(self, bitstream: bytes, submitted_s: float) -> ReadSymbols:
        from models.bitstream import BitstreamError, stream_id_of

        started_s, stream_id = time.perf_counter(), stream_id_of(bitstream)
        try:
            # The codec of high latents refuses a bitstream of any other stream.
            symbols = self._codecs.get(stream_id, self._codecs[self.stream_id]).read(bitstream)
        except BitstreamError as error:
            raise DamagedBitstream(f"the bitstream cannot be entropy-decoded: {error}") from error
        except Exception as error:
            raise CodecFailed(f"the entropy decoder failed: {error}") from error
        return ReadSymbols(symbols, stream_id, started_s - submitted_s, time.perf_counter() - started_s)


def _limit_threads(threads: int) -> None:
    """Limit the OpenMP threads that torch uses for the operations of the present thread."""
    import torch

    torch.set_num_threads(threads)
