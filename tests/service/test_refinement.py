"""Searches after a miss: their cost for hits, the records that they overwrite, and the answers to clients."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import redis
from skimage import data

from models.bitstream import parse
from models.picture_array import Pixels
from service.errors import CodecFailed, DecoderAway, QueueFull
from service.metrics.outcomes import RefinementOutcome
from service.metrics.telemetry import Telemetry
from service.records.record import Record, pack, unpack
from service.refine.refiner import Refiner, RefineRules
from service.render import image_file
from service.render.jobs import Search
from service.rules.response_fields import PassedOn
from service.settings.quality import TargetScore
from service.store.connection import Connection, Timeouts
from service.store.embedded import EmbeddedValkey
from service.store.latent_store import LatentStore
from tests.service.paused import standing_still
from tests.service.watched_codec import Watch, worker_seen_by

FRESH = {"Cache-Control": "public, max-age=600"}
QUALITY = 20
STEPS = 3
SEARCH = Search(quality=QUALITY, steps=STEPS)
LONG_SEARCH = replace(SEARCH, steps=65535)
RULES = RefineRules(steps=STEPS, quality=QUALITY)
KEY = b"p:astronaut"


@pytest.fixture(scope="module")
def high() -> Pixels:
    return image_file.square(data.astronaut(), 344)  # type: ignore[no-untyped-call]


def test_a_hit_during_a_search_waits_for_one_slice_of_it(high: Pixels) -> None:
    async def story() -> None:
        watch = Watch(holds_after=2)
        async with worker_seen_by(watch) as worker:
            first = await worker.encode(high, quality=QUALITY)
            refining = asyncio.create_task(worker.refine(high, SEARCH))
            await asyncio.to_thread(watch.holds.wait)
            hit = asyncio.create_task(worker.decode(first, size_px=172))
            await asyncio.sleep(0)  # one turn of the loop: it is submitted
            watch.may_go_on.set()
            assert (await hit).pixels.shape == (172, 172, 3)
            refined = await refining
            assert refined is not None
            assert parse(refined).quality == QUALITY
        assert watch.log == ["slice", "slice", "decode", *["slice"] * STEPS]  # one more each for start and end

    asyncio.run(story())


def test_a_failed_search_fails_nothing_else(high: Pixels, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        watch = Watch(holds_after=0)
        async with worker_seen_by(watch) as worker:
            with pytest.raises(CodecFailed):
                await worker.refine(np.zeros((5, 5, 3), np.uint8), SEARCH)
            assert await worker.refine(high, SEARCH)

    asyncio.run(story())
    assert "the codec failed" in caplog.text


def test_close_drops_searches_in_progress(high: Pixels) -> None:
    async def story() -> None:
        watch = Watch()
        async with worker_seen_by(watch) as worker:
            refining = asyncio.create_task(worker.refine(high, LONG_SEARCH))
            await asyncio.to_thread(watch.holds.wait)
            with pytest.raises(QueueFull):
                await worker.refine(high, LONG_SEARCH)
        with pytest.raises(DecoderAway):
            await refining
        assert watch.log == ["slice"]

    asyncio.run(story())


@dataclass(frozen=True)
class Bench:
    """A refiner between a real store and a real codec, and the record that it is offered."""

    refiner: Refiner
    watch: Watch
    direct: redis.Redis
    record: Record

    def stored(self) -> Record:
        """Return the record in the store."""
        value = self.direct.get(KEY)
        assert isinstance(value, bytes)
        return unpack(value, KEY)


Story = Callable[[Bench], Coroutine[Any, Any, None]]


def with_an_offer(
    valkey: EmbeddedValkey,
    high: Pixels,
    story: Callable[[Bench], Coroutine[Any, Any, None]],
    rules: RefineRules = RULES,
    *,
    store_timeout_s: float = 60,
) -> None:
    """Run a story that begins when the codec searches for a better latent of a stored record."""

    async def told() -> None:
        watch = Watch()
        timeouts = Timeouts(timeout_s=store_timeout_s, retry_s=0)
        connection = Connection(valkey.url, timeouts=timeouts, observer=Telemetry().store)
        async with worker_seen_by(watch) as worker:
            refiner = Refiner(rules, store=LatentStore(connection), worker=worker, counts=watch.refinements)
            # The latent of a blur of it: what the search begins with is better already.
            record = record_of(await worker.encode(blurred(high), quality=QUALITY))
            with redis.Redis.from_url(valkey.url) as direct:
                direct.set(KEY, pack(record, KEY), ex=600)
                refiner.offer(KEY, record, high)
                await asyncio.to_thread(watch.holds.wait)
                await story(Bench(refiner, watch, direct, record))
            await refiner.close()
        await connection.close()

    asyncio.run(told())


def blurred(picture: Pixels) -> Pixels:
    return image_file.square(image_file.square(picture, 172), 344)


def record_of(bitstream: bytes) -> Record:
    parsed = parse(bitstream)
    return Record(
        bitstream=bitstream,
        born_ms=1_000,
        filled_ms=2_000,
        lifetime_s=600,
        source_digest=bytes(16),
        source_bytes=100_000,
        conventional_high_bytes=30_000,
        conventional_medium_bytes=8_000,
        stream_id=parsed.stream_id,
        quality=parsed.quality,
        passed=PassedOn(cache_control="max-age=600"),
    )


def test_a_better_latent_takes_the_place_of_the_first(valkey: EmbeddedValkey, high: Pixels) -> None:
    async def story(bench: Bench) -> None:
        bench.watch.may_go_on.set()
        assert await bench.watch.outcomes.get() is RefinementOutcome.STORED
        stored = bench.stored()
        assert stored.bitstream != bench.record.bitstream
        assert stored == replace(bench.record, bitstream=stored.bitstream, refinement=STEPS)
        assert 0 < bench.direct.ttl(KEY) <= 600

    with_an_offer(valkey, high, story)


@pytest.mark.parametrize("kind", ["another fill", "a purge", "someone else's list"])
def test_changes_during_the_search_stay(valkey: EmbeddedValkey, high: Pixels, kind: str) -> None:
    async def story(bench: Bench) -> None:
        another = pack(replace(bench.record, filled_ms=3_000), KEY)
        bench.direct.delete(KEY)
        if kind == "another fill":
            bench.direct.set(KEY, another, ex=60)
        elif kind == "someone else's list":
            bench.direct.rpush(KEY, another)
        left = bench.direct.dump(KEY)
        bench.watch.may_go_on.set()
        assert await bench.watch.outcomes.get() is RefinementOutcome.SUPERSEDED
        assert bench.direct.dump(KEY) == left

    with_an_offer(valkey, high, story)


def test_a_newer_fill_cancels_the_search_for_the_old_record(valkey: EmbeddedValkey, high: Pixels) -> None:
    async def story(bench: Bench) -> None:
        newer = replace(bench.record, filled_ms=3_000)
        bench.direct.set(KEY, pack(newer, KEY), ex=600)
        bench.refiner.offer(KEY, newer, high)
        assert await bench.watch.outcomes.get() is RefinementOutcome.SUPERSEDED
        bench.watch.may_go_on.set()
        assert await bench.watch.outcomes.get() is RefinementOutcome.STORED
        assert bench.stored().filled_ms == 3_000

    with_an_offer(valkey, high, story)


def test_a_picture_that_the_queue_refuses_keeps_its_first_latent(valkey: EmbeddedValkey, high: Pixels) -> None:
    async def story(bench: Bench) -> None:
        bench.refiner.offer(b"p:another", bench.record, high)
        assert await bench.watch.outcomes.get() is RefinementOutcome.REFUSED

    with_an_offer(valkey, high, story, replace(RULES, steps=65535))


@pytest.mark.parametrize(("score", "outcome"), [(0, RefinementOutcome.STORED), (99, RefinementOutcome.UNCHANGED)])
def test_a_better_latent_keeps_the_target_score(
    valkey: EmbeddedValkey, high: Pixels, score: float, outcome: RefinementOutcome
) -> None:
    async def story(bench: Bench) -> None:
        bench.watch.may_go_on.set()
        assert await bench.watch.outcomes.get() is outcome
        assert (bench.direct.get(KEY) == pack(bench.record, KEY)) == (outcome is RefinementOutcome.UNCHANGED)

    with_an_offer(valkey, high, story, replace(RULES, quality=TargetScore(score)))


def test_a_store_that_fails_fails_only_the_search(valkey: EmbeddedValkey, high: Pixels) -> None:
    async def story(bench: Bench) -> None:
        with standing_still(bench.direct):
            bench.watch.may_go_on.set()
            assert await bench.watch.outcomes.get() is RefinementOutcome.FAILED

    with_an_offer(valkey, high, story, store_timeout_s=0.5)
