"""From bitstreams to pixels and to JPEG files: entropy decoding on threads, then the device, then threads or nvJPEG."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch

from models.codec import Codec, Symbols
from models.config import HIGH_PX
from models.picture_array import Pixels
from service.render import image_file
from tests.gpu_check.golden import SIZES_PX
from tests.gpu_check.nvjpeg import NvJpeg
from tests.gpu_check.subjects import batch_of, photographs, streams
from tests.gpu_check.task import Task, timed

JPEG = "image/jpeg"
AHEAD = 2
"""Batches that are read while the device works."""


@dataclass(frozen=True)
class _Line:
    """A codec, the streams it is fed with, and how many of them together."""

    codec: Codec
    blobs: Sequence[bytes]
    batch: int


def run(task: Task) -> None:
    """Measure each part alone, then together."""
    codec = Codec.load(device=task.device, head="cpu")
    line = _Line(codec, streams(photographs(task.choose(16, 2))), task.choose(64, 2))
    threads = task.threads()
    for count in threads:
        with task.journal.tried(f"reading with {count} threads"):
            per_s = _each_in_threads(line.codec.read, line.blobs, count, task.slice_s(16))
            task.journal.row("read", threads=count, per_s=per_s)
    for size_px in SIZES_PX:
        with task.journal.tried(f"whole ways to {size_px} px"):
            _measure_size(task, line, size_px, threads)


def _measure_size(task: Task, line: _Line, size_px: int, threads: Sequence[int]) -> None:
    for count in threads:
        per_s = _together(line, size_px, count, task.slice_s(12), write=None)
        task.journal.row("pixels", size_px=size_px, threads=count, batch=line.batch, per_s=per_s)
    symbols = batch_of([line.codec.read(one) for one in line.blobs], line.batch)
    pictures = line.codec.synthesize(symbols, size_px=size_px)
    write = partial(image_file.write, media_type=JPEG)
    for count in threads[:: len(threads) - 1]:
        per_s = _each_in_threads(write, pictures, count, task.slice_s(10))
        task.journal.row("jpeg alone", by="Pillow", size_px=size_px, threads=count, per_s=per_s)
        per_s = _together(line, size_px, count, task.slice_s(8), write=write)
        task.journal.row("files", by="Pillow", size_px=size_px, threads=count, batch=line.batch, per_s=per_s)
    with task.journal.tried("nvJPEG"):
        _measure_nvjpeg(task, pictures, size_px)


def _measure_nvjpeg(task: Task, pictures: Sequence[Pixels], size_px: int) -> None:
    """Of pixels that are on the device already, as they are behind a head; files are brought to the processor."""
    try:
        encoder = NvJpeg(task.device)
    except ModuleNotFoundError as error:
        task.journal.row("left out", why=str(error))
        return
    for items in task.choose((16, 64), (2,)):
        on_device = encoder.uploaded(pictures[:items])
        found = timed(lambda kept=on_device: encoder.files(kept), seconds=task.slice_s(6))  # type: ignore[misc]
        sizes = [len(one) for one in encoder.files(on_device)]
        task.journal.row(
            "jpeg alone",
            by=encoder.name,
            size_px=size_px,
            batch=items,
            per_s=items / found.median_s,
            file_bytes=sum(sizes) / len(sizes),
            pillow_bytes=len(image_file.write(pictures[0], JPEG)) if size_px == HIGH_PX else None,
        )


def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads whose own small products are not shared among all processors, as in a worker of the edge."""
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))


def _each_in_threads(call: Callable[..., object], items: Sequence[object], threads: int, seconds: float) -> float:
    """Calls a second when so many threads do nothing else."""
    began_s = time.monotonic()

    def one_thread(number: int) -> int:
        count = 0
        while not count or time.monotonic() < began_s + seconds:
            call(items[(number + count) % len(items)])
            count += 1
        return count

    with _pool(threads) as pool:
        done = sum(pool.map(one_thread, range(threads)))
    return done / (time.monotonic() - began_s)


def _together(
    line: _Line, size_px: int, threads: int, seconds: float, *, write: Callable[[Pixels], bytes] | None
) -> float:
    """Pictures a second: threads read the next batches and write the last files while the device makes one batch."""
    # Codec.read keeps nothing between calls, so threads may share it.
    with _pool(threads) as pool:
        chunk = [line.blobs[number % len(line.blobs)] for number in range(line.batch)]

        def read_ahead() -> list[Future[Symbols]]:
            return [pool.submit(line.codec.read, one) for one in chunk]

        reads = deque(read_ahead() for _ in range(AHEAD))
        files: deque[list[Future[bytes]]] = deque()
        began_s, done = time.monotonic(), 0
        while not done or time.monotonic() < began_s + seconds:
            symbols = [one.result() for one in reads.popleft()]
            reads.append(read_ahead())
            pictures = line.codec.synthesize(symbols, size_px=size_px)
            if write is not None:
                files.append([pool.submit(write, one) for one in pictures])
            while len(files) > AHEAD:
                _finish(files.popleft())
            done += len(pictures)
        for batch in files:
            _finish(batch)
        took_s = time.monotonic() - began_s
        pool.shutdown(cancel_futures=True)
    return done / took_s


def _finish(files: Sequence[Future[bytes]]) -> None:
    for one in files:
        one.result()
