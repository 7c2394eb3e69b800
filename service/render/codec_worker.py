"""The one thread that owns the device (CPU or GPU) and runs the codec on it. Knows no requests and no records.

    jobs are queued -> the decodes of a round (decode_round.py) -> its encodes (encode_round.py)
    otherwise       -> one demotion, or one slice of a search for better latents

The thread never waits for a batch to fill: jobs queue up while the device is busy. One thread keeps one core busy. More
worker processes use more cores. An accelerator is used by one decoder process for all workers.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from models.bitstream import stream_id_of
from models.picture_array import Pixels
from service.errors import DecoderAway
from service.render.codec_options import Observer, WorkerOptions
from service.render.codec_queue import AnyJob, BatchSizes, CodecQueue, Round
from service.render.decode_round import Decoding
from service.render.device_start import choose_device, warm_up
from service.render.encode_round import Encoding
from service.render.failed_jobs import fail_jobs
from service.render.heap import keep_freed_memory
from service.render.jobs import Decoded, DecodeJob, DemoteJob, EncodeJob, FutureWaiter, RefineJob, Search, Write
from service.render.loaded_codecs import LoadedCodecs
from service.render.picture_codec import CodecNames
from service.render.search_batch import SearchBatch
from service.settings.quality import Quality

if TYPE_CHECKING:
    from models.codec import Codec
    from models.demoted_codec import DemotedCodec

Result = TypeVar("Result")


class CodecWorker:
    """The codec on a thread of its own, behind a queue. Call `start` before use and `close` after it."""

    def __init__(
        self,
        options: WorkerOptions,
        observer: Observer,
        on_change: Callable[[CodecNames], None] = lambda _names: None,
    ) -> None:
        """Create a worker. `on_change` is called on the codec's thread when the CPU takes over from an accelerator."""
        self._on_change = on_change
        self._options = options
        self._observer = observer
        self._queue = CodecQueue(options.queue)
        self._decoding, self._encoding = Decoding(self._call, observer), Encoding(self._call)
        self._loaded: LoadedCodecs | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Start the codec's thread, and wait until it has loaded the weights. Raises the errors of loading."""
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._thread = threading.Thread(target=self._run, args=(loaded,), name="codec", daemon=True)
        self._thread.start()
        await loaded

    async def close(self) -> None:
        """Fail all queued jobs with DecoderAway, and wait until the round in progress is finished."""
        for job in self._queue.close():
            job.fail(DecoderAway("the edge is shutting down"))
        self._observer.set_queue_depth(items=0)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    @property
    def names(self) -> CodecNames:
        """Return the names of the current codec, which change when the CPU takes over from an accelerator."""
        return self._codecs.names

    @property
    def readable(self) -> Mapping[bytes, Mapping[int, bytes]]:
        """Return, for each stream id that can be decoded, the id of the head for each picture size in px."""
        return self.names.readable

    @property
    def is_there(self) -> bool:
        """Return whether the codec takes work now: always, between `start` and `close`."""
        return True

    @property
    def runs_on_cpu(self) -> bool:
        """Return whether the codec decodes on the CPU. If so, `write` is best called on the codec's thread."""
        return self.names.device == "cpu"

    async def decode(self, bitstream: bytes, *, size_px: int, write: Write | None = None) -> Decoded:
        """Decode a latent to its picture of `size_px`, and return the pixels and the file that `write` makes of them.

        Raises QueueFull, DamagedBitstream or CodecFailed.
        """
        future: asyncio.Future[Decoded] = asyncio.get_running_loop().create_future()
        stream_id, waiter = stream_id_of(bitstream), FutureWaiter(future)
        self.submit(DecodeJob(waiter=waiter, latent=bitstream, stream_id=stream_id, size_px=size_px, write=write))
        return await future

    async def encode(self, pixels: Pixels, *, quality: Quality, patient: bool = False) -> bytes:
        """Return the bitstream of a picture (344, 344, 3). Raises QueueFull or CodecFailed.

        With `patient`, no client waits, and the expected wait is not checked.
        """
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.submit(EncodeJob(waiter=FutureWaiter(future), pixels=pixels, quality=quality, patient=patient))
        return await future

    async def demote(self, bitstream: bytes, *, quality: int) -> bytes:
        """Return the medium bitstream, at `quality`, that replaces a high one. It is made while the codec is idle.

        Raises QueueFull, DamagedBitstream or CodecFailed.
        """
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.submit(DemoteJob(waiter=FutureWaiter(future), bitstream=bitstream, quality=quality))
        return await future

    async def refine(self, pixels: Pixels, search: Search) -> bytes | None:
        """Return a better bitstream of a picture, found in seconds of idle time, or None if it misses its target score.

        Raises QueueFull or CodecFailed.
        """
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self.submit(RefineJob(waiter=FutureWaiter(future), pixels=pixels, search=search))
        return await future

    def submit(self, job: AnyJob) -> None:
        """Queue a job, from any thread. Raises QueueFull if its queue is full or its expected wait is too long."""
        self._queue.submit(job)
        self._observer.set_queue_depth(items=len(self._queue))

    # All methods below run on the codec's thread.

    def _run(self, loaded: asyncio.Future[None]) -> None:
        keep_freed_memory()
        try:
            self._use(choose_device(self._options), head=self._options.head)
            self._warm_up()
        except Exception as error:  # noqa: BLE001  (every error is raised in `start`)
            loaded.get_loop().call_soon_threadsafe(loaded.set_exception, error)
            return
        loaded.get_loop().call_soon_threadsafe(loaded.set_result, None)
        while (work := self._queue.take(self._round_limits())) is not None:
            self._observer.set_queue_depth(items=len(self._queue))
            self._work(work)

    def _work(self, work: Round) -> None:
        started_s = time.perf_counter()
        self._decoding.decode([job for job in work.decodes if not job.gone])
        decoded_s = time.perf_counter()
        self._queue.end_decodes(seconds=decoded_s - started_s)
        self._encode([job for job in work.encodes if not job.gone])
        self._queue.end_encodes(seconds=time.perf_counter() - decoded_s)
        if work.demotion is not None:
            self._encoding.demote(work.demotion)
        if work.search is not None:
            self._advance(work.search)

    def _round_limits(self) -> BatchSizes:
        """Return the maximum number of jobs of each kind for one round.

        On a CPU each is 1: a batch saves no time there, and its first picture would wait for the last. A search for
        several pictures saves at most 10 % on a CPU, and a hit would wait for a longer slice of it (LOG.md).
        """
        limits = self._options.queue
        if not self._codec.saves_by_batches:
            return BatchSizes(decodes=1, encodes=1, searches=self._most_searches())
        return BatchSizes(decodes=limits.batch_items, encodes=limits.batch_items, searches=self._most_searches())

    def _most_searches(self) -> int:
        return 1 if self.runs_on_cpu else self._options.queue.refine_batch

    def _use(self, device: str, *, head: str) -> None:
        previous = self._options.previous_weights
        current = self._load(self._options.weights, device=device, head=head)
        self._loaded = LoadedCodecs.of(
            current,
            previous=None if previous is None else self._load(previous, device=device, head=head),
            demoted=self._load_demoted(current),
        )

    def _load(self, weights: Path | None, *, device: str, head: str) -> Codec:
        from models.codec import Codec

        return Codec.load(weights, device=device, head=head, kernels=self._options.kernels)

    def _load_demoted(self, current: Codec) -> DemotedCodec | None:
        from models.demoted_codec import DemotedCodec
        from models.weights_file import CheckpointError

        try:
            return DemotedCodec.load(current, self._options.weights)
        except CheckpointError:
            # Without an upscaler for these weights, demoted records of other edges are misses.
            if self._options.demotes:
                raise
            return None

    def _warm_up(self) -> None:
        warm_up(self._codec, quality=self.names.default_quality, most_items=self._options.queue.batch_items)

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
        except Exception as error:  # noqa: BLE001  (keep the device: it may only lack the memory for this search)
            self._fail_search(search, error)
        else:
            if answered is not None:
                self._queue.remove(answered)
        self._observer.add_refinement_time(seconds=time.perf_counter() - started_s)

    def _fail_search(self, search: SearchBatch, error: Exception) -> None:
        if len(search.unanswered) > 1:
            logging.getLogger(__name__).warning("a search failed; its pictures are tried one by one: %s", error)
            self._queue.split(search)
            return
        for job in search.unanswered:
            self._queue.remove(job)
        fail_jobs(search.unanswered, error)

    def _call(self, call: Callable[[LoadedCodecs], Result]) -> Result:
        from models.device_errors import DeviceLost

        try:
            return call(self._codecs)
        except DeviceLost:
            if self.runs_on_cpu:
                raise
            logging.getLogger(__name__).exception("the accelerator failed; the CPU takes over")
        self._observer.count_lost_device()
        self._use("cpu", head=self._head_after_loss())
        self._queue.forget_pace()
        self._on_change(self.names)
        return call(self._codecs)

    def _head_after_loss(self) -> str:
        # Either head is safe: entity tags contain the head id, so a 304 never confirms a picture of another head.
        return self.names.head.removeprefix("high-") if self._options.lost_head == "same" else "cpu"
