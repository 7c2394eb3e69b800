"""What a fill keeps in memory while it waits."""

import asyncio
import pickle
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from threading import Event

import pytest

from service.cache import fill
from service.cache.fill import Filler, FillRules
from service.cache.freshness import FreshnessRules
from service.cache.source import Source
from service.errors import NotAPicture
from service.origin.client import Limits, OriginClient
from service.render.codec_worker import CodecWorker, WorkerOptions
from service.render.image_file import ImageLimits
from service.store.latent_store import LatentStore, Patience
from service.telemetry import Telemetry, Timings
from tests.service.scripted_origin import Reply, ScriptedOrigin


@asynccontextmanager
async def filler_of(origin: ScriptedOrigin, threads: Executor) -> AsyncIterator[Filler]:
    """Neither its store nor its codec is ever asked here."""
    telemetry = Telemetry()
    client = OriginClient(origin.url, limits=Limits(source_bytes=20_000_000, timeout_s=60), observer=telemetry)
    options = WorkerOptions(
        device="cpu", head="auto", weights=None, threads=1, queue_items=1, batch_items=1, refine_items=1
    )
    limits = ImageLimits(source_pixels=64_000_000)
    yield Filler(
        FillRules(origin=origin.url, quality=20, freshness=FreshnessRules(default_ttl_s=60), image_limits=limits),
        store=LatentStore("unix:///none", patience=Patience(timeout_s=1, retry_s=1), observer=telemetry),
        origin=client,
        worker=CodecWorker(options, telemetry),
        threads=threads,
        now=time.time,
    )
    await client.close()


def test_what_waits_for_the_codec_is_not_the_file(origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/large", Reply(photo + bytes(5_000_000)))

    async def fetched(threads: Executor) -> Source:
        async with filler_of(origin, threads) as filler:
            return await filler.fetch("large", Timings())

    with ThreadPoolExecutor(1) as threads:
        source = asyncio.run(fetched(threads))
    assert source.prepared.source_bytes == len(photo) + 5_000_000
    assert len(pickle.dumps(source)) < 1_000_000


@contextmanager
def busy(threads: Executor) -> Iterator[None]:
    """A pool of one thread that has something else to do."""
    released = Event()
    threads.submit(released.wait)
    try:
        yield
    finally:
        released.set()


def test_no_more_files_are_fetched_than_may_wait_to_be_read(
    origin: ScriptedOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "SOURCES", 1)
    for path in ("/first", "/second"):
        origin.script(path, Reply(b"no picture"))
    barrier = Reply(b"no picture")
    origin.script("/barrier", barrier)

    async def story(threads: Executor) -> list[str]:
        async with filler_of(origin, threads) as filler, filler_of(origin, threads) as another:
            with busy(threads):
                fetches = [asyncio.create_task(filler.fetch(name, Timings())) for name in ("first", "second")]
                # Started last: when this one is there, the second would be on its way at least.
                fetches.append(asyncio.create_task(another.fetch("barrier", Timings())))
                await asyncio.to_thread(barrier.arrived.wait)
                asked = [request.path for request in origin.requests]
            outcomes = await asyncio.gather(*fetches, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {NotAPicture}
        return asked

    with ThreadPoolExecutor(1) as threads:
        assert "/second" not in asyncio.run(story(threads))
