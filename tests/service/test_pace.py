"""The rate limit and the back-off of a sweep. The tests move the clock, so that nothing waits in real time."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from service.metrics.outcomes import SweepOutcome
from service.metrics.telemetry import Telemetry
from service.records.record import source_digest
from service.refine.pace import LONGEST_WAIT_S, BackOff, Pace
from service.refine.unchanged_source import RequestLimits, UnchangedSources
from service.render.image_file import ImageLimits
from service.upstream.fetched import Fetched
from service.upstream.origin_client import Limits, OriginClient
from service.upstream.origins import Origins
from service.upstream.source_reader import SourceReader
from tests.service.filled_cache import FilledCache
from tests.service.scripted_origin import Reply
from tests.service.test_large_sources import LARGE, children


class Clock:
    """A clock that only moves when `sleep` is called."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


class BusyMeter(OriginClient):
    """A client that counts its concurrent requests."""

    under_way = most = 0

    async def fetch(self, image_id: str, **given: Any) -> Fetched:  # noqa: ANN401  (the client's own options)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await super().fetch(image_id, **given)
        finally:
            self.under_way -= 1


Story = Callable[[UnchangedSources, BusyMeter], Coroutine[Any, Any, None]]


def with_sources(cache: FilledCache, clock: Clock, story: Story, *, per_minute: float = 0, requests: int = 1) -> None:
    async def told() -> None:
        limits = Limits(source_bytes=10**7, timeout_s=60)
        client = BusyMeter(cache.origin.url, limits=limits, observer=Telemetry().origin)
        request_limits = RequestLimits(
            pace=Pace(per_minute, clock=clock, sleep=clock.sleep),
            back_off=BackOff(sleep=clock.sleep),
            requests=requests,
        )
        with ThreadPoolExecutor(1) as threads:
            reader = SourceReader(ImageLimits(4000 * 4000), threads=threads, cpu_s=60)
            try:
                await story(
                    UnchangedSources(Origins({"": client}), reader=reader, request_limits=request_limits), client
                )
            finally:
                reader.close()
                await client.close()

    asyncio.run(told())


def test_pictures_are_spread_evenly_over_a_minute(cache: FilledCache) -> None:
    clock = Clock()
    cache.origin.script("/cat", *[Reply(cache.source)] * 4)

    async def story(sources: UnchangedSources, _client: BusyMeter) -> None:
        for _ in range(3):
            assert not isinstance(await sources.high(cache.record("cat")), SweepOutcome)
        assert clock.slept_s == [6, 6]
        clock.now_s += 60  # a search took its time: what was not used up is not made up for
        await sources.high(cache.record("cat"))
        assert clock.slept_s == [6, 6]

    with_sources(cache, clock, story, per_minute=10)


def test_a_rate_of_0_means_no_limit(cache: FilledCache) -> None:
    clock = Clock()
    cache.origin.script("/cat", *[Reply(cache.source)] * 2)

    async def story(sources: UnchangedSources, _client: BusyMeter) -> None:
        for _ in range(2):
            await sources.high(cache.record("cat"))

    with_sources(cache, clock, story)
    assert clock.slept_s == []


def test_repeated_failures_of_the_origin_double_the_back_off(cache: FilledCache) -> None:
    clock = Clock()
    broken = [Reply(status=503)] * 9
    cache.origin.script("/cat", *broken, Reply(cache.source), Reply(status=429), Reply(status=404), Reply(status=500))

    async def story(sources: UnchangedSources, _client: BusyMeter) -> None:
        for _ in broken:
            assert await sources.high(cache.record("cat")) is SweepOutcome.ORIGIN_FAILED
        assert clock.slept_s == [1, 2, 4, 8, 16, 32, LONGEST_WAIT_S]
        assert not isinstance(await sources.high(cache.record("cat")), SweepOutcome)
        clock.slept_s.clear()
        for _ in range(3):  # an answer between two failures: not in a row
            assert await sources.high(cache.record("cat")) is SweepOutcome.ORIGIN_FAILED
        assert clock.slept_s == []

    with_sources(cache, clock, story)


@pytest.mark.parametrize("requests", [1, 3])
def test_the_number_of_concurrent_requests_is_limited(cache: FilledCache, requests: int) -> None:
    gate = threading.Event()
    held = [Reply(cache.source, gate=gate) for _ in range(requests)]
    cache.origin.script("/cat", *held, *[Reply(cache.source)] * 3)

    async def story(sources: UnchangedSources, client: BusyMeter) -> None:
        asking = [asyncio.create_task(sources.high(cache.record("cat"))) for _ in range(requests + 3)]
        await asyncio.to_thread(lambda: [one.arrived.wait(60) for one in held])
        assert client.under_way == requests
        gate.set()
        await asyncio.gather(*asking)
        assert client.most == requests

    with_sources(cache, Clock(), story, requests=requests)


def test_a_source_that_is_now_too_large_is_unusable(cache: FilledCache) -> None:
    cache.origin.script("/cat", Reply(bytes(10**7 + 1)))

    async def story(sources: UnchangedSources, _client: BusyMeter) -> None:
        assert await sources.high(cache.record("cat")) is SweepOutcome.UNUSABLE

    with_sources(cache, Clock(), story)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at children in /proc")
def test_a_large_source_is_read_in_a_child(cache: FilledCache) -> None:
    cache.origin.script("/wall", Reply(LARGE))
    record = replace(cache.record("wall"), source_digest=source_digest(LARGE))

    async def story(sources: UnchangedSources, _client: BusyMeter) -> None:
        assert not isinstance(await sources.high(record), SweepOutcome)
        assert len(children() - before) == 1

    before = children()  # of edges of other tests
    with_sources(cache, Clock(), story)
    assert not children() - before, "it outlives the sweep"


def test_passes_takes_a_turn_only_if_one_is_due() -> None:
    clock = Clock()
    pace = Pace(60, clock=clock, sleep=clock.sleep)
    assert [pace.passes(), pace.passes()] == [True, False]
    clock.now_s += 1
    assert [pace.passes(), pace.passes()] == [True, False]
    clock.now_s += 100
    assert [pace.passes(), pace.passes()] == [True, False]  # turns that nobody took are not saved up
    assert clock.slept_s == []
