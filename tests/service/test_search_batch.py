"""Searches for better latents of several pictures together, with the real codec."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from skimage import data

from models.bitstream import parse
from models.codec import Codec
from models.picture_array import Pixels
from service.errors import CodecFailed
from service.render import image_file
from service.render.codec_worker import CodecWorker
from service.render.jobs import Search
from service.settings.quality import TargetScore
from tests.service.watched_codec import OPTIONS, Watch

QUALITY = 20
STEPS = 3
SEARCH = Search(quality=QUALITY, steps=STEPS)
TOGETHER = replace(OPTIONS, queue=replace(OPTIONS.queue, refine_items=8, refine_batch=4))


class AsOnAnAccelerator(CodecWorker):
    """A codec that claims to gain from batches, as on a GPU."""

    def _most_searches(self) -> int:
        return self._options.queue.refine_batch


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    photos = [data.astronaut(), data.coffee(), data.chelsea()]  # type: ignore[no-untyped-call]
    return [image_file.square(photo, 344) for photo in photos]


def with_worker(
    story: Callable[[CodecWorker, Watch], Coroutine[Any, Any, None]], kind: type[CodecWorker] = AsOnAnAccelerator
) -> Watch:
    """Tell a story that begins when the worker is in the middle of a first search, so that others wait together.

    Returns what was seen until the worker was closed.
    """

    async def told() -> Watch:
        watch = Watch()
        worker = kind(TOGETHER, watch)
        await worker.start()
        first = asyncio.create_task(worker.refine(np.zeros((344, 344, 3), np.uint8), replace(SEARCH, steps=1)))
        await asyncio.to_thread(watch.holds.wait)
        try:
            await story(worker, watch)
        finally:
            watch.may_go_on.set()
            await worker.close()
        await asyncio.gather(first, return_exceptions=True)
        return watch

    return asyncio.run(told())


async def searched(worker: CodecWorker, watch: Watch, jobs: list[tuple[Pixels, Search]]) -> list[Any]:
    tasks = [asyncio.create_task(worker.refine(picture, search)) for picture, search in jobs]
    await asyncio.sleep(0)  # one turn of the loop: they are all submitted
    watch.may_go_on.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def slices_of_first_and(count: int) -> list[str]:
    """The first search takes three slices: start, step, answer."""
    return ["slice"] * (3 + count)


def test_each_picture_gets_its_own_better_latent_out_of_one_search(pictures: list[Pixels]) -> None:
    async def story(worker: CodecWorker, watch: Watch) -> None:
        qualities = (20, 30, 40)
        jobs = [(one, replace(SEARCH, quality=quality)) for one, quality in zip(pictures, qualities, strict=True)]
        found = await searched(worker, watch, jobs)
        assert [parse(bitstream).quality for bitstream in found] == list(qualities)
        codec = Codec.load()
        for picture, bitstream in zip(pictures, found, strict=True):
            (decoded,) = codec.synthesize([codec.read(bitstream)], size_px=344)
            assert np.abs(decoded.astype(int) - picture).mean() < 12

    # The start, the steps, and an answer for each: a hit never waits for more than one picture's scores.
    assert with_worker(story).log == slices_of_first_and(1 + STEPS + len(pictures))


def test_a_cpu_searches_for_one_picture_at_a_time(pictures: list[Pixels]) -> None:
    async def story(worker: CodecWorker, watch: Watch) -> None:
        assert all(await searched(worker, watch, [(one, SEARCH) for one in pictures]))

    assert with_worker(story, CodecWorker).log == slices_of_first_and(len(pictures) * (1 + STEPS + 1))


def test_a_bad_picture_of_a_search_fails_alone(pictures: list[Pixels], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)

    async def story(worker: CodecWorker, watch: Watch) -> None:
        bad = np.zeros((5, 5, 3), np.uint8)
        good, failed, other = await searched(worker, watch, [(one, SEARCH) for one in (pictures[0], bad, pictures[1])])
        assert isinstance(failed, CodecFailed)
        assert parse(good).quality == parse(other).quality == QUALITY

    with_worker(story)


def test_each_picture_keeps_its_target_score(pictures: list[Pixels]) -> None:
    async def story(worker: CodecWorker, watch: Watch) -> None:
        searches = [replace(SEARCH, target=TargetScore(score)) for score in (0, 100)]
        kept, given_up = await searched(worker, watch, list(zip(pictures, searches, strict=False)))
        assert kept
        assert given_up is None

    with_worker(story)
