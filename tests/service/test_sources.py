"""The files and pictures in memory between the origin and the codec."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from threading import Event

from service.errors import NotAPicture
from service.metrics.telemetry import Telemetry
from service.metrics.timings import Timings
from service.render.codec_worker import CodecWorker
from service.render.image_file import ImageLimits
from service.rules.freshness import FreshnessRules
from service.rules.response_fields import PassedOn, ResponseFields
from service.upstream.intake import Intake
from service.upstream.origin_client import Limits, OriginClient
from service.upstream.origins import Origins
from service.upstream.source import ANY_TERMS, Source
from service.upstream.source_reader import SourceReader
from service.upstream.upstream import Upstream
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.watched_codec import OPTIONS


@asynccontextmanager
async def sources_of(origin: ScriptedOrigin, threads: Executor, *, slots: int = 64) -> AsyncIterator[Upstream]:
    limits = Limits(source_bytes=20_000_000, timeout_s=60, slots=slots)
    telemetry = Telemetry()
    client = OriginClient(origin.url, limits=limits, observer=telemetry.origin)
    never_asked, rules = CodecWorker(OPTIONS, telemetry.codec), FreshnessRules(default_ttl_s=60)
    reader = SourceReader(ImageLimits(source_pixels=64_000_000), threads=threads, cpu_s=60)
    intake = Intake(rules, worker=never_asked, reader=reader)
    yield Upstream(Origins({"": client}), intake, parent=None)
    reader.close()
    await client.close()


def test_the_file_is_freed_while_its_picture_waits_for_the_codec(origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/large", Reply(photo + bytes(5_000_000)))

    async def fetched(threads: Executor) -> Source:
        async with sources_of(origin, threads) as there:
            return await there.fetch("large", ANY_TERMS, Timings())

    with ThreadPoolExecutor(1) as threads:
        source = asyncio.run(fetched(threads))
    assert source.prepared.source_bytes == len(photo) + 5_000_000
    assert len(pickle.dumps(source)) < 1_000_000


@contextmanager
def busy(threads: Executor) -> Iterator[None]:
    """Keep the only thread of a pool busy."""
    released = Event()
    threads.submit(released.wait)
    try:
        yield
    finally:
        released.set()


def test_the_number_of_files_in_memory_is_limited(origin: ScriptedOrigin) -> None:
    for path in ("/first", "/second"):
        origin.script(path, Reply(b"no picture"))
    barrier = Reply(b"no picture")
    origin.script("/barrier", barrier)

    async def story(threads: Executor) -> list[str]:
        async with sources_of(origin, threads, slots=1) as there, sources_of(origin, threads) as another:
            with busy(threads):
                fetches = [asyncio.create_task(there.fetch(name, ANY_TERMS, Timings())) for name in ("first", "second")]
                # Started last: when this one is there, the second would be on its way at least.
                fetches.append(asyncio.create_task(another.fetch("barrier", ANY_TERMS, Timings())))
                await asyncio.to_thread(barrier.arrived.wait)
                asked = [request.path for request in origin.requests]
            outcomes = await asyncio.gather(*fetches, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {NotAPicture}
        return asked

    with ThreadPoolExecutor(1) as threads:
        assert "/second" not in asyncio.run(story(threads))


def test_each_answer_draws_its_own_jitter() -> None:
    numbers = iter([0.0, 1.0])
    with ThreadPoolExecutor(1) as threads:
        intake = Intake(
            FreshnessRules(default_ttl_s=60, ttl_jitter=0.5),
            worker=CodecWorker(OPTIONS, Telemetry().codec),
            reader=SourceReader(ImageLimits(source_pixels=1), threads=threads, cpu_s=1),
            draw=lambda: next(numbers),
        )
        said = ResponseFields(asked_s=0, answered_s=0, passed=PassedOn())
        assert [intake.storage("cat", said).lifetime_s for _ in range(2)] == [60, 30]
