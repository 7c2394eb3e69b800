"""Dates are judged by the store's clock: an edge whose own clock is wrong serves the pictures of the others."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from service.errors import StoreUnavailable
from service.records.store_keys import generations_key
from service.serving import store_parts
from service.settings.edge_settings import read_settings
from service.store import store_clock
from service.store.connection import Connection, Timeouts
from service.store.embedded import EmbeddedValkey
from service.store.generation_store import GenerationStore
from service.store.store_clock import NOTABLE_S, ROUND_TRIP_S, StoreClock
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.test_store import Alarms
from tests.service.tiers import told

HOUR_S = 3600
NEAR_S = 600
"""Far less than an hour, and more than any test takes."""
MISS, HIT = "latentedge; fwd=uri-miss; stored", "latentedge; hit"


@contextmanager
def edge_ahead(origin: ScriptedOrigin, store: EmbeddedValkey) -> Iterator[RunningEdge]:
    """An edge whose machine's clock is an hour ahead."""
    clock = SimpleNamespace(time=lambda: time.time() + HOUR_S, monotonic=time.monotonic)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_parts, "time", clock)
        with running_edge(read_settings(origin=origin.url, redis_url=store.url)) as edge:
            yield edge


def test_an_edge_whose_clock_is_an_hour_ahead_shares_the_records_of_another(
    edge: RunningEdge, origin: ScriptedOrigin, session_valkey: EmbeddedValkey, photo: bytes
) -> None:
    """Neither edge could validate them: they have no validator."""
    for name in ("cat", "dog"):
        origin.script(f"/{name}", Reply(photo, headers={"Cache-Control": "max-age=1200"}))
    with edge_ahead(origin, session_valkey) as ahead:
        assert told(edge.get("/image/cat")) == MISS
        assert told(ahead.get("/image/cat")) == HIT
        assert told(ahead.get("/image/dog")) == MISS
        assert told(edge.get("/image/dog")) == HIT
        ages = [int(one.get(f"/image/{name}").headers["age"]) for one in (edge, ahead) for name in ("cat", "dog")]
        assert max(ages) < NEAR_S
        assert abs(ahead.metric("edge_clock_offset_seconds") + HOUR_S) < NEAR_S
        assert abs(edge.metric("edge_clock_offset_seconds")) < NEAR_S
    assert len(origin.requests) == 2


def test_the_clock_counts_on_while_the_store_does_not_answer(valkey_program: None) -> None:  # noqa: ARG001
    async def story() -> list[float]:
        with EmbeddedValkey(limit_bytes=2**24) as server:
            connection = Connection(server.url, timeouts=Timeouts(timeout_s=60, retry_s=0), observer=Alarms())
            source = GenerationStore(connection, generations_key("http://origin"))
            clock = StoreClock(source, on_offset=lambda _: None, wall=lambda: time.time() + HOUR_S)
            before = clock.now() - time.time()
            await clock.sample()
            after = clock.now() - time.time()
        with pytest.raises(StoreUnavailable):
            await clock.sample()
        await clock.follow()
        await clock.close()
        await connection.close()
        return [before, after, clock.now() - time.time()]

    before, after, gone = asyncio.run(story())
    assert abs(before - HOUR_S) < NEAR_S
    assert max(abs(after), abs(gone)) < NEAR_S


class Answers:
    """A server that is `offset_s` ahead of the machine, and takes `round_trip_s` to tell the time."""

    def __init__(self) -> None:
        self.offset_s = self.round_trip_s = self.now_s = 0.0
        self.asked = 0
        self.often = asyncio.Event()
        self.told: list[float] = []
        self.clock = StoreClock(self, on_offset=self.told.append, wall=lambda: self.now_s, monotonic=lambda: self.now_s)

    async def time_s(self) -> float:
        self.asked += 1
        if self.asked == 3:
            self.often.set()
        self.now_s += self.round_trip_s
        return self.now_s + self.offset_s

    def sample(self, *, offset_s: float, round_trip_s: float = 0.0) -> float:
        self.offset_s, self.round_trip_s = offset_s, round_trip_s
        asyncio.run(self.clock.sample())
        return self.clock.now() - self.now_s


def test_the_error_is_at_most_half_of_the_round_trip() -> None:
    assert Answers().sample(offset_s=100, round_trip_s=1) == 100.5


def test_a_time_that_took_too_long_to_arrive_is_ignored() -> None:
    answers = Answers()
    assert answers.sample(offset_s=100, round_trip_s=ROUND_TRIP_S * 1.5) == 0
    assert not answers.told


def test_a_difference_that_the_round_trip_explains_does_not_set_the_clock() -> None:
    answers = Answers()
    assert answers.sample(offset_s=100) == 100
    assert answers.sample(offset_s=100, round_trip_s=1) == 100
    assert answers.sample(offset_s=101, round_trip_s=1) == 101.5
    assert answers.told == [100, 100, 101.5]


def test_a_notable_offset_is_logged_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    answers = Answers()
    with caplog.at_level(logging.WARNING):
        for offset_s in (NOTABLE_S, -HOUR_S, -HOUR_S, 0, 0):
            answers.sample(offset_s=offset_s)
    assert [record.getMessage() for record in caplog.records] == [
        "the clock of the store is -3600 s off this machine's; pictures are dated by the store's",
        "the clocks of the store and this machine agree again",
    ]


def test_the_store_is_asked_again_and_again_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_clock, "EVERY_S", 0)

    async def story() -> None:
        answers = Answers()
        await answers.clock.follow()
        await answers.often.wait()
        await answers.clock.close()

    asyncio.run(story())
