"""The one thread that owns the device, and the only user of models.codec here. Knows no requests and no records.

    take what is queued -> entropy decode, item by item -> one synthesis per size -> files that are cheap -> futures
                        -> then one encode, if one waits
    nothing is queued   -> one slice of a search for better latents

No delay is ever added to form a batch: batches form by themselves while the device is busy. One thread is one
processor's work; past one processor there are more worker processes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from service.errors import CodecFailed, DamagedBitstream
from service.quality import Quality, TargetScore
from service.render.codec_options import Observer, WorkerOptions
from service.render.codec_queue import AnyJob, CodecQueue
from service.render.heap import keep_freed_memory
from service.render.jobs import Decoded, DecodeJob, EncodeJob, Pixels, RefineJob, Search, Write
from service.render.search_batch import SearchBatch

if TYPE_CHECKING:
    from models.codec import Codec, Symbols

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Read:
    """A job whose symbols are there."""

    job: DecodeJob
    symbols: Symbols
    queue_s: float
    entropy_s: float


class CodecWorker:
    """The codec behind a queue. Made, then started, then used, then closed."""

    def __init__(self, options: WorkerOptions, observer: Observer) -> None:
        self._options = options
        self._observer = observer
        self._queue = CodecQueue(options.queue)
        self._codec: Codec | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Load the weights, on the worker's own thread. Raises what loading raises."""
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._thread = threading.Thread(target=self._run, args=(loaded,), name="codec", daemon=True)
        self._thread.start()
        await loaded

    async def close(self) -> None:
        """Finish the round that is under way; whoever waits for a later one gets an error."""
        for job in self._queue.close():
            job.fail(CodecFailed("the edge is shutting down"))
        self._observer.queue_changed(items=0)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    @property
    def codec(self) -> Codec:
        """For its names (stream id, head ids, default quality); its methods belong to the worker's thread."""
        assert self._codec is not None, "start() comes first"
        return self._codec

    @property
    def is_processor(self) -> bool:
        """Whether the codec's thread works on the processor itself: then nothing is gained by going to another."""
        return self.codec.device == "cpu"

    async def decode(self, bitstream: bytes, *, size_px: int, write: Write | None = None) -> Decoded:
        """A rendition's pixels, and what `write` makes of them. Raises QueueFull, DamagedBitstream or CodecFailed."""
        future: asyncio.Future[Decoded] = asyncio.get_running_loop().create_future()
        self._submit(DecodeJob(future=future, bitstream=bitstream, size_px=size_px, write=write))
        return await future

    async def encode(self, pixels: Pixels, *, quality: Quality) -> bytes:
        """The bitstream of a high picture. Raises QueueFull or CodecFailed."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._submit(EncodeJob(future=future, pixels=pixels, quality=quality))
        return await future

    async def refine(self, pixels: Pixels, search: Search) -> bytes | None:
        """The best bitstream that is found, if any: seconds of work, done in between. Raises as `encode` does."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._submit(RefineJob(future=future, pixels=pixels, search=search))
        return await future

    def _submit(self, job: AnyJob) -> None:
        self._queue.submit(job)
        self._observer.queue_changed(items=len(self._queue))

    # From here on, everything runs on the worker's thread.

    def _run(self, loaded: asyncio.Future[None]) -> None:
        keep_freed_memory()
        try:
            self._codec = self._load(self._chosen_device(), head=self._options.head)
        except Exception as error:  # noqa: BLE001  (whatever it is, it belongs to whoever starts the edge)
            loaded.get_loop().call_soon_threadsafe(loaded.set_exception, error)
            return
        loaded.get_loop().call_soon_threadsafe(loaded.set_result, None)
        while (work := self._queue.take(decodes=self._most_together(), searches=self._most_searches())) is not None:
            self._observer.queue_changed(items=len(self._queue))
            self._decode([job for job in work.decodes if not job.gone])
            if work.encode is not None and not work.encode.gone:
                self._encode(work.encode)
            if work.search is not None:
                self._advance(work.search)

    def _most_together(self) -> int | None:
        """Return 1 on a processor, where pictures together cost as much as one by one and the first would wait."""
        return None if self.codec.saves_by_batches else 1

    def _most_searches(self) -> int | None:
        # A processor gains 10 % at most by several together, and a hit would wait for a slice of all (LOG.md).
        return 1 if self.is_processor else None

    def _chosen_device(self) -> str:
        import torch

        torch.set_num_threads(self._options.threads)
        if self._options.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self._options.device

    def _load(self, device: str, *, head: str) -> Codec:
        from models.codec import Codec

        options = self._options
        return Codec.load(options.weights, device=device, head=head, kernels=options.kernels)

    def _decode(self, jobs: list[DecodeJob]) -> None:
        started_s = time.perf_counter()
        read = [one for one in map(self._read, jobs) if one is not None]
        by_size = sorted(read, key=lambda one: one.job.size_px)
        for size_px, group in groupby(by_size, key=lambda one: one.job.size_px):
            self._synthesize(list(group), size_px)
        self._queue.decoded(items=len(jobs), seconds=time.perf_counter() - started_s)

    def _read(self, job: DecodeJob) -> _Read | None:
        """Entropy decode of one item: a damaged one fails here, alone."""
        from models.bitstream import BitstreamError

        started_s = time.perf_counter()
        try:
            symbols = self.codec.read(job.bitstream)
        except BitstreamError as error:
            job.fail(DamagedBitstream(str(error)))
        except Exception as error:  # noqa: BLE001  (one picture's failure is never another's, nor the thread's)
            self._failed([job], error)
        else:
            ended_s = time.perf_counter()
            return _Read(job, symbols, queue_s=started_s - job.submitted_s, entropy_s=ended_s - started_s)
        return None

    def _synthesize(self, batch: list[_Read], size_px: int) -> None:
        symbols = [one.symbols for one in batch]
        started_s = time.perf_counter()
        try:
            pictures = self._on_some_device(lambda codec: codec.synthesize(symbols, size_px=size_px))
        except Exception as error:  # noqa: BLE001  (likewise)
            self._failed([one.job for one in batch], error)
            return
        synthesis_s = time.perf_counter() - started_s
        self._observer.batch_done(size_px=size_px, items=len(batch))
        for one, pixels in zip(batch, pictures, strict=True):
            decoded = Decoded(pixels, queue_s=one.queue_s, entropy_s=one.entropy_s, synthesis_s=synthesis_s)
            self._finish(one.job, decoded)

    def _finish(self, job: DecodeJob, decoded: Decoded) -> None:
        if job.write is None or job.gone:
            job.succeed(decoded)
            return
        started_s = time.perf_counter()
        try:
            file = job.write(decoded.pixels)
        except Exception as error:  # noqa: BLE001  (likewise)
            self._failed([job], error)
        else:
            job.succeed(replace(decoded, file=file, file_s=time.perf_counter() - started_s))

    def _encode(self, job: EncodeJob) -> None:
        try:
            bitstream = self._on_some_device(lambda codec: _encoded(codec, job))
        except Exception as error:  # noqa: BLE001  (likewise)
            self._failed([job], error)
        else:
            job.succeed(bitstream)

    def _advance(self, search: SearchBatch) -> None:
        started_s = time.perf_counter()
        try:
            answered = search.advance(self.codec, self._options.readers)
        except Exception as error:  # noqa: BLE001  (likewise; the device may only be too small for it, so it is kept)
            self._search_failed(search, error)
        else:
            if answered is not None:
                self._queue.finished(answered)
        self._observer.refinement_stepped(seconds=time.perf_counter() - started_s)

    def _search_failed(self, search: SearchBatch, error: Exception) -> None:
        if len(search.left) > 1:
            logging.getLogger(__name__).warning("a search of several pictures failed; each goes on alone: %s", error)
            self._queue.part(search)
            return
        for job in search.left:
            self._queue.finished(job)
        self._failed(search.left, error)

    def _on_some_device(self, call: Callable[[Codec], Result]) -> Result:
        try:
            return call(self.codec)
        except Exception:
            if self.codec.device == "cpu":
                raise
            logging.getLogger(__name__).exception("the device failed; the processor goes on")
        self._observer.device_lost()
        self._codec = self._load("cpu", head=self._head_after_loss())
        return call(self._codec)

    def _head_after_loss(self) -> str:
        # Entity tags follow from the head, so a client's copy by another head is not confirmed.
        return self.codec.head.removeprefix("high-") if self._options.lost_head == "same" else "cpu"

    def _failed(self, jobs: Sequence[AnyJob], error: Exception) -> None:
        logging.getLogger(__name__).error("the codec failed", exc_info=error)
        for job in jobs:
            job.fail(CodecFailed(str(error)))


def _encoded(codec: Codec, job: EncodeJob) -> bytes:
    if isinstance(job.quality, TargetScore):
        return codec.encode_to_score(job.pixels, ssimulacra2=job.quality.ssimulacra2)
    return codec.encode(job.pixels, quality=job.quality)
