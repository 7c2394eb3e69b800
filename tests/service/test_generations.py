"""A process learns of purges by messages, and by looking once a second. Its knowledge never shrinks."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import redis
import uvloop

from service.errors import StoreUnavailable
from service.records import generations
from service.records.generations import REFRESH_S, Generations
from service.records.last_known import LastKnown
from service.store.connection import Connection
from service.store.embedded import EmbeddedValkey
from service.store.generation_store import GenerationStore
from tests.service.test_store import TIMEOUTS, Alarms

KEY = b"g:test"
LIMIT_S = 60


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


Story = Callable[[Generations, Generations, Clock], Awaitable[None]]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a process look again without a wait, because the clock stands still."""
    monkeypatch.setattr(generations, "REFRESH_S", 0.0)


def told(valkey: EmbeddedValkey, story: Story) -> None:
    async def telling() -> None:
        connection = Connection(valkey.url, timeouts=TIMEOUTS, observer=Alarms())
        clock = Clock()
        mine, yours = (Generations(GenerationStore(connection, KEY), LastKnown(0), clock=clock) for _ in range(2))
        try:
            await story(mine, yours, clock)
        finally:
            await mine.close()
            await yours.close()
            await connection.close()

    asyncio.run(telling())


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until another task has noticed something."""
    async with asyncio.timeout(LIMIT_S):
        while not await true():  # noqa: ASYNC110  (what is tested tells nobody)
            await asyncio.sleep(0)


def test_a_purge_is_noticed_at_once(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still, so only a message can make the process look again."""

    async def story(mine: Generations, yours: Generations, _clock: Clock) -> None:
        monkeypatch.setattr(generations, "REFRESH_S", REFRESH_S)
        await yours.current()
        with redis.Redis.from_url(valkey.url) as direct:
            yours.listen()

            async def listens() -> bool:
                return bool(direct.pubsub_numsub(KEY)[0][1])

            await until(listens)
        await yours.current()
        generation = await mine.purge("cats", soft=False)

        async def has_heard() -> bool:
            return (await yours.current()).latest == generation

        await until(has_heard)

    told(valkey, story)


def test_without_messages_a_process_looks_once_a_second(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(mine: Generations, yours: Generations, clock: Clock) -> None:
        generation = await mine.purge("cats", soft=False)
        monkeypatch.setattr(generations, "REFRESH_S", REFRESH_S)
        first = await yours.current()
        assert first.latest == generation
        with redis.Redis.from_url(valkey.url) as direct:
            direct.hset(KEY, mapping={"latest": generation + 9, "hard:dogs": generation + 9})
        clock.now_s += 0.9
        assert await yours.current() is first
        clock.now_s += 0.1
        assert (await yours.current()).latest == generation + 9

    told(valkey, story)


def test_an_unchanged_table_is_not_read_again(valkey: EmbeddedValkey) -> None:
    async def story(mine: Generations, _yours: Generations, clock: Clock) -> None:
        first = await mine.read()
        with redis.Redis.from_url(valkey.url) as direct:
            before = direct.info("commandstats")["cmdstat_hgetall"]["calls"]
            for _ in range(3):
                clock.now_s += 10
                assert await mine.read() is first
            assert direct.info("commandstats")["cmdstat_hgetall"]["calls"] == before

    told(valkey, story)


def test_a_lost_table_is_restored(valkey: EmbeddedValkey) -> None:
    async def story(mine: Generations, yours: Generations, _clock: Clock) -> None:
        await mine.purge("cats", soft=False)
        generation = await mine.purge("dogs", soft=True)
        with redis.Redis.from_url(valkey.url) as direct:
            table = direct.hgetall(KEY)
            direct.delete(KEY)
            assert (await mine.read()).latest == generation
            assert direct.hgetall(KEY) == table
        assert (await yours.read()).generations == (await mine.read()).generations

    told(valkey, story)


def test_a_process_that_knows_less_lowers_nothing(valkey: EmbeddedValkey) -> None:
    async def story(mine: Generations, yours: Generations, _clock: Clock) -> None:
        await yours.read()
        generation = await mine.purge("cats", soft=False)
        with redis.Redis.from_url(valkey.url) as direct:
            direct.delete(KEY)
        await yours.read()
        assert (await mine.read()).latest == generation
        assert (await yours.read()).generations["hard:cats"] == generation

    told(valkey, story)


def test_a_store_that_does_not_answer_raises_an_error() -> None:
    async def story() -> None:
        connection = Connection("unix:///none", timeouts=TIMEOUTS, observer=Alarms())
        with pytest.raises(StoreUnavailable):
            await Generations(GenerationStore(connection, KEY), LastKnown(0)).current()

    asyncio.run(story())


@pytest.mark.parametrize("turns", [0, 1, 3, 10, 30, 100])
def test_close_stops_the_listener_in_every_state(valkey: EmbeddedValkey, turns: int) -> None:
    """On uvloop, which the edge uses, redis-py loses a cancellation that arrives while it connects."""

    async def story() -> None:
        connection = Connection(valkey.url, timeouts=TIMEOUTS, observer=Alarms())
        mine = Generations(GenerationStore(connection, KEY), LastKnown(0))
        mine.listen()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(LIMIT_S):
            await mine.close()
        await connection.close()

    uvloop.run(story())


def test_a_table_that_cannot_be_read_is_used_for_the_grace_time(valkey: EmbeddedValkey) -> None:
    now_s = 0.0

    async def story() -> None:
        connection = Connection(valkey.url, timeouts=TIMEOUTS, observer=Alarms())
        store = GenerationStore(connection, KEY)
        patient, strict = (
            Generations(store, LastKnown(0), grace_s=grace_s, clock=lambda: now_s) for grace_s in (30, 0)
        )
        known = await patient.current()
        await strict.current()
        valkey.stop()
        nonlocal now_s
        now_s = 29.0
        assert await patient.current() is known
        with pytest.raises(StoreUnavailable):
            await strict.current()
        now_s = 30.5
        with pytest.raises(StoreUnavailable):
            await patient.current()
        with pytest.raises(StoreUnavailable):
            await patient.read()
        await connection.close()

    asyncio.run(story())
