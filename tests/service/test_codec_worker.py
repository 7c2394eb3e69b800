"""Batches, bad items and departed clients with the real codec."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from skimage import data

from models.picture_array import Pixels
from service.errors import CodecFailed, DamagedBitstream, DecoderAway
from service.render import image_file
from service.render.codec_options import WorkerOptions
from service.render.codec_queue import QueueLimits
from service.render.codec_worker import CodecWorker
from service.render.jobs import Decoded
from tests.service.batching_codec import AsOnAGpu, Seen

OPTIONS = WorkerOptions(
    device="cpu",
    head="auto",
    kernels="auto",
    weights=None,
    threads=1,
    queue=QueueLimits(queue_items=8, batch_items=4, refine_items=1),
)
QUALITY = 10


def in_loop(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


@pytest.fixture(scope="module")
def photos() -> list[Pixels]:
    pictures = [data.astronaut(), data.coffee(), data.chelsea()]  # type: ignore[no-untyped-call]
    return [image_file.square(picture, 344) for picture in pictures]


def with_worker(
    story: Callable[[CodecWorker, Seen], Coroutine[Any, Any, None]], kind: type[CodecWorker] = CodecWorker
) -> None:
    async def told() -> None:
        seen = Seen()
        worker = kind(OPTIONS, seen)
        await worker.start()
        try:
            await story(worker, seen)
        finally:
            await worker.close()

    asyncio.run(told())


async def met(worker: CodecWorker, seen: Seen, jobs: list[Coroutine[Any, Any, Any]]) -> list[asyncio.Task[Any]]:
    """Submit jobs while the device is busy with an encode. Return their tasks, and last the task of the encode."""
    seen.may_go_on.clear()
    seen.holds.clear()
    busy = asyncio.create_task(worker.encode(np.zeros((344, 344, 3), np.uint8), quality=QUALITY))
    await asyncio.to_thread(seen.holds.wait)
    tasks = [asyncio.create_task(job) for job in jobs]
    await asyncio.sleep(0)  # one turn of the loop: they are all submitted
    return [*tasks, busy]


def test_requests_that_wait_together_are_decoded_together(photos: list[Pixels]) -> None:
    async def story(worker: CodecWorker, seen: Seen) -> None:
        bitstreams = [await worker.encode(photo, quality=QUALITY) for photo in photos]
        alone = [(await worker.decode(bitstream, size_px=344)).pixels for bitstream in bitstreams]
        seen.batches.clear()
        jobs = [worker.decode(bitstream, size_px=344) for bitstream in bitstreams]
        tasks = await met(worker, seen, [*jobs, worker.decode(bitstreams[0], size_px=172)])
        seen.may_go_on.set()
        *together, _ = await asyncio.gather(*tasks)
        assert sorted(seen.batches) == [(172, 1), (344, 3)]
        assert together[3].pixels.shape == (172, 172, 3)
        for one, other in zip(alone, together, strict=False):
            assert np.abs(one.astype(int) - other.pixels).max() <= 2

    with_worker(story, AsOnAGpu)


def test_a_bad_item_fails_alone(photos: list[Pixels]) -> None:
    async def story(worker: CodecWorker, seen: Seen) -> None:
        good = await worker.encode(photos[0], quality=QUALITY)
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 1
        jobs = [worker.decode(blob, size_px=172) for blob in (good, bytes(bad), b"", good)]
        tasks = await met(worker, seen, jobs)
        seen.may_go_on.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results[:4]] == [Decoded, DamagedBitstream, DamagedBitstream, Decoded]

    with_worker(story)


def test_a_file_is_written_on_the_codecs_own_thread(photos: list[Pixels]) -> None:
    async def story(worker: CodecWorker, _seen: Seen) -> None:
        bitstream = await worker.encode(photos[0], quality=QUALITY)
        made = await worker.decode(bitstream, size_px=172, write=lambda _: threading.current_thread().name.encode())
        assert made.file == b"codec"
        assert worker.runs_on_cpu

    with_worker(story)


def test_a_file_that_cannot_be_written_fails_alone(photos: list[Pixels], caplog: pytest.LogCaptureFixture) -> None:
    def fail(_pixels: Pixels) -> bytes:
        raise ValueError("no such file")

    async def story(worker: CodecWorker, seen: Seen) -> None:
        bitstream = await worker.encode(photos[0], quality=QUALITY)
        jobs = [worker.decode(bitstream, size_px=172, write=write) for write in (fail, lambda _: b"file", None)]
        tasks = await met(worker, seen, jobs)
        seen.may_go_on.set()
        failed, written, plain, _ = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(failed, CodecFailed)
        assert isinstance(written, Decoded)
        assert isinstance(plain, Decoded)
        assert (written.file, plain.file) == (b"file", None)

    with_worker(story)
    assert "no such file" in caplog.text


def test_jobs_of_departed_clients_are_dropped(photos: list[Pixels]) -> None:
    async def story(worker: CodecWorker, seen: Seen) -> None:
        bitstream = await worker.encode(photos[0], quality=QUALITY)
        jobs = [worker.decode(bitstream, size_px=172) for _ in range(3)]
        tasks = await met(worker, seen, jobs)
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.sleep(0)  # one turn: a task is cancelled when it is next looked at
        seen.may_go_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert seen.batches == [(172, 1)]

    with_worker(story)


def test_an_impossible_encode_fails_alone_and_the_worker_goes_on(
    photos: list[Pixels], caplog: pytest.LogCaptureFixture
) -> None:
    async def story(worker: CodecWorker, _seen: Seen) -> None:
        with pytest.raises(CodecFailed):
            await worker.encode(np.zeros((5, 5, 3), np.uint8), quality=QUALITY)
        assert await worker.encode(photos[0], quality=QUALITY)

    with_worker(story)
    assert "the codec failed" in caplog.text


def test_missing_weights_fail_the_start(tmp_path: Any) -> None:  # noqa: ANN401
    async def story() -> None:
        worker = CodecWorker(replace(OPTIONS, weights=tmp_path / "none"), Seen())
        with pytest.raises(Exception, match="none"):
            await worker.start()
        await worker.close()

    in_loop(story)


def test_close_fails_all_waiting_jobs(photos: list[Pixels]) -> None:
    async def story() -> None:
        seen = Seen()
        worker = CodecWorker(OPTIONS, seen)
        await worker.start()
        bitstream = await worker.encode(photos[0], quality=QUALITY)
        tasks = await met(worker, seen, [worker.decode(bitstream, size_px=344)])
        closing = asyncio.create_task(worker.close())
        await asyncio.sleep(0)  # one turn: the queue is closed
        seen.may_go_on.set()
        await closing
        waiting, busy = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(waiting, DecoderAway)
        assert isinstance(busy, bytes)

    in_loop(story)
