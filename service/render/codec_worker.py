"""The one thread that owns the device, and the only user of models.codec here. Knows no requests and no records.

    take what is queued -> the decodes (decode_round.py) -> then the encodes that were taken (encode_round.py)
    nothing is queued   -> one slice of a search for better latents

No delay is ever added to form a batch: batches form by themselves while the device is busy. One thread is one
processor's work; past one processor there are more worker processes, and one decoder process for an accelerator.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from models.picture_array import Pixels
from service.errors import DecoderAway
from service.render.codec_options import Observer, WorkerOptions
from service.render.codec_queue import AnyJob, CodecQueue, Round, Together
from service.render.decode_round import Decoding
from service.render.encode_round import Encoding
from service.render.failed_jobs import fail_jobs
from service.render.heap import keep_freed_memory
from service.render.jobs import Decoded, DecodeJob, EncodeJob, FutureWaiter, RefineJob, Search, Write
from service.render.loaded_codecs import LoadedCodecs
from service.render.picture_codec import CodecNames
from service.render.search_batch import SearchBatch
from service.settings.quality import Quality

if TYPE_CHECKING:
    from models.codec import Codec

Result = TypeVar("Result")


class CodecWorker:
    """The codec behind a queue. Made, then started, then used, then closed."""

    def __init__(
        self,
        options: WorkerOptions,
        observer: Observer,
        on_change: Callable[[CodecNames], None] = lambda _names: None,
    ) -> None:
        """`on_change` is called on the codec's thread when the processor has taken over from an accelerator."""
        self._on_change = on_change
        self._options = options
        self._observer = observer
        self._queue = CodecQueue(options.queue)
        self._decoding, self._encoding = Decoding(self._on_some_device, observer), Encoding(self._on_some_device)
        self._loaded: LoadedCodecs | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Load the weights, on the worker's own thread. Raises what loading raises."""
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._thread = threading.Thread(target=self._run, args=(loaded,), name="codec", daemon=True)
        self._thread.start()
        await loaded

    async def close(self) -> None:
        """Finish the round that is under way; jobs that are still queued fail."""
        for job in self._queue.close():
            job.fail(DecoderAway("the edge is shutting down"))
        self._observer.set_queue_depth(items=0)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    @property
    def names(self) -> CodecNames:
        """The names of the codec that decodes now."""
        return self._codecs.names

    @property
    def readable(self) -> Mapping[bytes, Mapping[int, bytes]]:
        """The head ids by size, by the stream id of everything that is decoded."""
        return self._codecs.readable

    @property
    def is_there(self) -> bool:
        """Whether it takes work: always, between start and close."""
        return True

    @property
    def is_processor(self) -> bool:
        """Whether the codec's thread works on the processor itself: then nothing is gained by going to another."""
        return self.names.device == "cpu"

    async def decode(self, bitstream: bytes, *, size_px: int, write: Write | None = None) -> Decoded:
        """A rendition's pixels, and what `write` makes of them. Raises QueueFull, DamagedBitstream or CodecFailed."""
        future: asyncio.Future[Decoded] = asyncio.get_running_loop().create_future()
        self.submit(DecodeJob(waiter=FutureWaiter(future), latent=bitstream, size_px=size_px, write=write))
        return await future

    async def encode(self, pixels: Pixels, *, quality: Quality, patient: bool = False) -> bytes:
        """The bitstream of a high picture. Raises QueueFull or CodecFailed."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.submit(EncodeJob(waiter=FutureWaiter(future), pixels=pixels, quality=quality, patient=patient))
        return await future

    async def refine(self, pixels: Pixels, search: Search) -> bytes | None:
        """The best bitstream that is found, if any: seconds of work, done in between. Raises as `encode` does."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self.submit(RefineJob(waiter=FutureWaiter(future), pixels=pixels, search=search))
        return await future

    def submit(self, job: AnyJob) -> None:
        """Queue a job, from any thread. Raises QueueFull."""
        self._queue.submit(job)
        self._observer.set_queue_depth(items=len(self._queue))

    # From here on, everything runs on the worker's thread.

    def _run(self, loaded: asyncio.Future[None]) -> None:
        keep_freed_memory()
        try:
            self._use(self._chosen_device(), head=self._options.head)
            self._warm_up()
        except Exception as error:  # noqa: BLE001  (whatever it is, it belongs to whoever starts the edge)
            loaded.get_loop().call_soon_threadsafe(loaded.set_exception, error)
            return
        loaded.get_loop().call_soon_threadsafe(loaded.set_result, None)
        while (work := self._queue.take(self._most())) is not None:
            self._observer.set_queue_depth(items=len(self._queue))
            self._work(work)

    def _work(self, work: Round) -> None:
        started_s = time.perf_counter()
        self._decoding.decode([job for job in work.decodes if not job.gone])
        decoded_s = time.perf_counter()
        self._queue.decoded(seconds=decoded_s - started_s)
        self._encode([job for job in work.encodes if not job.gone])
        self._queue.encoded(seconds=time.perf_counter() - decoded_s)
        if work.search is not None:
            self._advance(work.search)

    def _most(self) -> Together:
        """Return 1 of each on a processor: pictures together cost as much as one by one and the first would wait.

        A search gains 10 % at most by several pictures, and a hit would wait for a slice of all of them (LOG.md).
        """
        limits = self._options.queue
        if not self._codec.saves_by_batches:
            return Together(decodes=1, encodes=1, searches=self._most_searches())
        return Together(decodes=limits.batch_items, encodes=limits.batch_items, searches=self._most_searches())

    def _most_searches(self) -> int:
        return 1 if self.is_processor else self._options.queue.refine_batch

    def _chosen_device(self) -> str:
        import torch

        torch.set_num_threads(self._options.threads)
        if self._options.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self._options.device

    def _use(self, device: str, *, head: str) -> None:
        previous = self._options.previous_weights
        self._loaded = LoadedCodecs.of(
            self._load(self._options.weights, device=device, head=head),
            previous=None if previous is None else self._load(previous, device=device, head=head),
        )

    def _load(self, weights: Path | None, *, device: str, head: str) -> Codec:
        from models.codec import Codec

        return Codec.load(weights, device=device, head=head, kernels=self._options.kernels)

    def _warm_up(self) -> None:
        """Run every batch size once where batches save time: the first ones compile, and must not count as pace."""
        if not self._codec.saves_by_batches:
            return
        size_px, quality = self._codec.size_px, self.names.default_quality
        most = self._options.queue.batch_items
        blank = [np.zeros((size_px, size_px, 3), np.uint8)] * most
        symbols = self._codec.read(self._codec.encode_together(blank, qualities=[quality] * most)[0])
        for items in _batch_sizes(most):
            for one_size_px in self.names.head_ids:
                self._codec.synthesize([symbols] * items, size_px=one_size_px)

    @property
    def _codecs(self) -> LoadedCodecs:
        assert self._loaded is not None, "start() comes first"
        return self._loaded

    @property
    def _codec(self) -> Codec:
        return self._codecs.current

    def _encode(self, jobs: Sequence[EncodeJob]) -> None:
        self._encoding.encode(jobs)

    def _advance(self, search: SearchBatch) -> None:
        started_s = time.perf_counter()
        try:
            answered = search.advance(self._codec, self._options.readers)
        except Exception as error:  # noqa: BLE001  (likewise; the device may only be too small for it, so it is kept)
            self._search_failed(search, error)
        else:
            if answered is not None:
                self._queue.finished(answered)
        self._observer.add_refinement_time(seconds=time.perf_counter() - started_s)

    def _search_failed(self, search: SearchBatch, error: Exception) -> None:
        if len(search.left) > 1:
            logging.getLogger(__name__).warning("a search of several pictures failed; each goes on alone: %s", error)
            self._queue.part(search)
            return
        for job in search.left:
            self._queue.finished(job)
        fail_jobs(search.left, error)

    def _on_some_device(self, call: Callable[[Codec], Result], stream_id: bytes = b"") -> Result:
        from models.device_errors import DeviceLost

        try:
            return call(self._codecs.reading(stream_id))
        except DeviceLost:
            if self.is_processor:
                raise
            logging.getLogger(__name__).exception("the accelerator is lost; the processor goes on")
        self._observer.count_lost_device()
        self._use("cpu", head=self._head_after_loss())
        self._queue.begin_anew()
        self._on_change(self.names)
        return call(self._codecs.reading(stream_id))

    def _head_after_loss(self) -> str:
        # Entity tags contain the head id, so a 304 never confirms a client's copy that another head has made.
        return self.names.head.removeprefix("high-") if self._options.lost_head == "same" else "cpu"


def _batch_sizes(most: int) -> list[int]:
    """Return 1, 2, 4 ... and the largest."""
    return [*(2**power for power in range((most - 1).bit_length())), most]
