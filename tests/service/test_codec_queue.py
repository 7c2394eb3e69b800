"""The rules of the codec's queue. No job is run."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.errors import QueueFull
from service.render.codec_queue import AnyJob, BatchSizes, CodecQueue, QueueLimits, Round
from service.render.jobs import Decoded, DecodeJob, EncodeJob, FutureWaiter, Job, RefineJob, Search
from service.render.search_batch import SearchBatch


def decode_job(name: bytes = b"", size_px: int = 344) -> DecodeJob:
    future: asyncio.Future[Decoded] = asyncio.get_running_loop().create_future()
    return DecodeJob(waiter=FutureWaiter(future), latent=name, stream_id=b"", size_px=size_px)


def encode_job(*, patient: bool = False) -> EncodeJob:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    return EncodeJob(waiter=FutureWaiter(future), pixels=np.zeros((344, 344, 3), np.uint8), quality=0, patient=patient)


def refine_job(steps: int = 1) -> RefineJob:
    future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    pixels, search = np.zeros((344, 344, 3), np.uint8), Search(quality=0, steps=steps)
    return RefineJob(waiter=FutureWaiter(future), pixels=pixels, search=search)


MOST = BatchSizes(decodes=99, encodes=1, searches=99)


def future_of(job: Job[Any]) -> asyncio.Future[Any]:
    assert isinstance(job.waiter, FutureWaiter)
    return job.waiter.future


def search_of(queue: CodecQueue, *, searches: int = 99) -> SearchBatch:
    taken = queue.take(replace(MOST, searches=searches))
    assert taken is not None
    assert taken.search is not None
    return taken.search


def names(search: SearchBatch) -> list[int]:
    return [id(job) for job in search.unanswered]


def in_loop(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_a_full_queue_refuses_and_a_taken_job_makes_room() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=2, batch_items=1, refine_items=1))
        for _ in range(2):
            queue.submit(decode_job())
        with pytest.raises(QueueFull):
            queue.submit(decode_job())
        queue.submit(encode_job())  # has a queue of its own: hits do not keep misses out
        assert queue.take(MOST) is not None
        queue.submit(decode_job())

    in_loop(story)


def test_decodes_go_first_and_one_encode_follows_each_round() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=9, batch_items=2, refine_items=1))
        encodes = [encode_job(), encode_job()]
        decodes = [decode_job(), decode_job(), decode_job()]
        jobs: list[AnyJob] = [*encodes, *decodes]
        for job in jobs:
            queue.submit(job)
        first, second = queue.take(MOST), queue.take(MOST)
        assert first is not None
        assert second is not None
        assert (first.decodes, first.encodes) == (decodes[:2], encodes[:1])
        assert (second.decodes, second.encodes) == (decodes[2:], encodes[1:])

    in_loop(story)


def test_a_search_waits_for_decodes_and_encodes_and_keeps_its_place() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=2, batch_items=2, refine_items=2))
        first, second, decode = refine_job(), refine_job(), decode_job()
        for job in (first, second):
            queue.submit(job)
        search = search_of(queue)
        assert search.unanswered == (first,)
        queue.submit(decode)
        assert queue.take(MOST) == Round([decode], encodes=[], search=None)
        assert search_of(queue) is search
        queue.remove(first)
        future_of(first).set_result(None)
        assert search_of(queue).unanswered == (second,)

    in_loop(story)


def test_searches_of_the_same_length_run_in_one_batch() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=1, batch_items=1, refine_items=9, refine_batch=3))
        jobs = [refine_job(steps) for steps in (5, 5, 7, 5, 5)]
        for job in jobs:
            queue.submit(job)
        search = search_of(queue)
        assert names(search) == [id(jobs[place]) for place in (0, 1, 3)]
        queue.submit(refine_job(5))
        assert search_of(queue) is search  # what came later is not part of it
        for job in search.unanswered:
            queue.remove(job)
            future_of(job).set_result(None)
        assert names(search_of(queue)) == [id(jobs[2])]

    in_loop(story)


def test_without_a_gain_from_batches_pictures_are_taken_one_by_one() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=1, batch_items=1, refine_items=9, refine_batch=3))
        jobs = [refine_job(), refine_job()]
        for job in jobs:
            queue.submit(job)
        assert names(search_of(queue, searches=1)) == [id(jobs[0])]

    in_loop(story)


def test_a_search_ends_when_all_its_jobs_are_cancelled() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=1, batch_items=1, refine_items=9, refine_batch=2))
        jobs = [refine_job() for _ in range(3)]
        for job in jobs:
            queue.submit(job)
        search = search_of(queue)
        future_of(jobs[0]).cancel()
        assert search_of(queue) is search
        future_of(jobs[1]).cancel()
        assert names(search_of(queue)) == [id(jobs[2])]

    in_loop(story)


def test_the_pictures_of_a_failed_search_are_tried_one_by_one() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=1, batch_items=1, refine_items=9, refine_batch=2))
        jobs = [refine_job() for _ in range(3)]
        for job in jobs:
            queue.submit(job)
        queue.split(search_of(queue))
        for job in jobs:
            assert names(search_of(queue)) == [id(job)]
            queue.remove(job)
            future_of(job).set_result(None)

    in_loop(story)


def test_a_full_queue_of_searches_refuses_until_one_is_cancelled() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=1, batch_items=1, refine_items=1))
        given_up = refine_job()
        queue.submit(given_up)
        with pytest.raises(QueueFull):
            queue.submit(refine_job())
        queue.submit(decode_job())  # of another queue
        future_of(given_up).cancel()
        queue.submit(refine_job())

    in_loop(story)


def test_a_closed_queue_returns_its_jobs_and_refuses_new_ones() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=2, batch_items=2, refine_items=1))
        waiting: list[AnyJob] = [decode_job(), encode_job(), refine_job()]
        for job in waiting:
            queue.submit(job)
        assert queue.close() == waiting
        assert queue.take(MOST) is None
        with pytest.raises(QueueFull):
            queue.submit(decode_job())

    in_loop(story)


def test_a_decode_that_would_wait_too_long_is_refused() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=99, batch_items=2, refine_items=1, wait_s=1.0))
        jobs = [decode_job() for _ in range(3)]
        for job in (decode_job(), decode_job()):
            queue.submit(job)  # nobody knows yet how long one takes
        queue.take(MOST)
        queue.end_decodes(seconds=5.0)  # at first a fifth of it counts: half a second for each
        for job in jobs:
            queue.submit(job)
        with pytest.raises(QueueFull, match=r"the expected wait is 1\.5 s"):
            queue.submit(decode_job())
        future_of(jobs[0]).cancel()  # nobody waits for that one any more
        queue.submit(decode_job())

    in_loop(story)


def test_one_slow_decode_does_not_close_the_edge() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=9, batch_items=1, refine_items=1, wait_s=0.5))
        queue.submit(decode_job())
        queue.take(MOST)
        queue.end_decodes(seconds=60.0)
        queue.submit(decode_job())
        queue.take(MOST)
        with pytest.raises(QueueFull):  # behind that one
            queue.submit(decode_job())
        queue.end_decodes(seconds=0.01)
        queue.submit(decode_job())

    in_loop(story)


def test_an_encode_that_would_wait_too_long_is_refused_unless_no_client_waits_for_it() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=99, batch_items=1, refine_items=1, wait_s=1.0))
        queue.submit(encode_job())
        queue.take(MOST)
        queue.end_encodes(seconds=3.0)  # 0.6 s for each
        jobs = [encode_job(), encode_job()]
        for job in jobs:
            queue.submit(job)
        with pytest.raises(QueueFull, match=r"the expected wait is 1\.2 s"):
            queue.submit(encode_job())
        queue.submit(encode_job(patient=True))
        queue.submit(decode_job())  # goes before all of them
        for job in jobs:
            future_of(job).cancel()
        queue.submit(encode_job())

    in_loop(story)


def test_an_encode_waits_for_the_decodes_before_it() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=99, batch_items=1, refine_items=1, wait_s=1.0))
        queue.submit(decode_job())
        queue.take(MOST)
        queue.end_decodes(seconds=6.0)  # 1.2 s for each
        queue.submit(decode_job())
        with pytest.raises(QueueFull):
            queue.submit(encode_job())
        queue.forget_pace()  # on another device, whose pace nobody knows yet
        queue.submit(encode_job())

    in_loop(story)


def test_encodes_are_batched_if_the_device_gains_by_it() -> None:
    async def story() -> None:
        queue = CodecQueue(QueueLimits(queue_items=9, batch_items=2, refine_items=1))
        jobs = [encode_job() for _ in range(3)]
        for job in jobs:
            queue.submit(job)
        taken = queue.take(replace(MOST, encodes=8))
        assert taken is not None
        assert taken.encodes == jobs[:2]

    in_loop(story)
