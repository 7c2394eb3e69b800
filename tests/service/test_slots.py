"""The slots of one server: who gets one, who gives one back, and who is refused."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from service.errors import OriginBusy
from service.upstream.slots import FetchSlots, Slot, SlotLimits

LONG_S = 60
TURNS = 20
"""More turns of the event loop than a slot takes to change hands."""


def story(
    told: Callable[[FetchSlots], Awaitable[None]], *, slots: int = 1, slow: int = 0, queued: int = 9, wait_s: float = 60
) -> None:
    limits = SlotLimits(slots=slots, slow=slow, queued=queued, wait_s=wait_s, slow_after_s=0)

    async def with_limit() -> None:
        async with asyncio.timeout(LONG_S):
            await told(FetchSlots(limits))

    asyncio.run(with_limit())


async def a_few_turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Fetch:
    """A fetch whose response begins when the test says so."""

    def __init__(self, slots: FetchSlots) -> None:
        self._slots = slots
        self.begun, self.response, self.rest = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.is_reading = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        slot = await self._slots.take()
        try:
            async with slot.waiting():
                self.begun.set()
                await self.response.wait()
            await slot.resume()
            self.is_reading.set()
            await self.rest.wait()
        finally:
            slot.end()

    def suffer(self, event: str) -> None:
        if event == "cancel":
            self.task.cancel()
        elif event == "response":
            self.response.set()
        else:
            self.rest.set()

    async def finish(self) -> None:
        self.response.set()
        self.rest.set()
        await self.task


def test_a_slot_goes_to_the_fetch_that_waits_first() -> None:
    async def told(slots: FetchSlots) -> None:
        held = await slots.take()
        order: list[str] = []

        async def take(name: str) -> Slot:
            slot = await slots.take()
            order.append(name)
            return slot

        waiting = [asyncio.create_task(take(name)) for name in ("first", "second")]
        await a_few_turns()
        assert order == []
        held.end()
        (await waiting[0]).end()
        await waiting[1]
        assert order == ["first", "second"]

    story(told)


def test_a_fetch_is_refused_if_the_queue_is_full() -> None:
    async def told(slots: FetchSlots) -> None:
        held = await slots.take()
        waiting = asyncio.create_task(slots.take())
        await a_few_turns()
        with pytest.raises(OriginBusy, match="too many fetches wait for a slot"):
            await slots.take()
        held.end()
        (await waiting).end()

    story(told, queued=1)


def test_a_fetch_does_not_wait_for_a_slot_for_ever() -> None:
    async def told(slots: FetchSlots) -> None:
        held = await slots.take()
        with pytest.raises(OriginBusy, match="no slot for a request became free"):
            await slots.take()
        held.end()
        (await slots.take()).end()

    story(told, wait_s=0.001)


def test_a_fetch_that_waits_for_its_response_gives_its_slot_to_another() -> None:
    async def told(slots: FetchSlots) -> None:
        hanging = [Fetch(slots) for _ in range(3)]
        for fetch in hanging:
            await fetch.begun.wait()
        good = Fetch(slots)
        await good.begun.wait()
        await good.finish()
        for fetch in hanging:
            await fetch.finish()

    story(told, slow=3)


def test_a_slow_fetch_needs_a_slot_again_and_gets_it_before_the_queue() -> None:
    """The number of slots bounds the files in memory."""

    async def told(slots: FetchSlots) -> None:
        slow = Fetch(slots)
        await slow.begun.wait()
        reading = Fetch(slots)
        await reading.begun.wait()
        reading.response.set()
        await reading.is_reading.wait()
        queued = Fetch(slots)
        await a_few_turns()
        slow.response.set()
        await a_few_turns()
        assert not slow.is_reading.is_set()
        reading.rest.set()
        await slow.is_reading.wait()
        assert not queued.begun.is_set()
        for fetch in (slow, reading, queued):
            await fetch.finish()

    story(told, slow=1)


def test_one_slow_fetch_too_many_is_refused_once_others_wait_for_its_slot() -> None:
    async def told(slots: FetchSlots) -> None:
        slow, one_too_many = Fetch(slots), Fetch(slots)
        await one_too_many.begun.wait()
        await a_few_turns()
        assert not one_too_many.task.done(), "it keeps nobody waiting"
        good = Fetch(slots)
        with pytest.raises(OriginBusy, match="response"):
            await one_too_many.task
        for fetch in (good, slow):
            await fetch.finish()

    story(told, slow=1)


def test_without_slow_fetches_a_fetch_keeps_its_slot() -> None:
    async def told(slots: FetchSlots) -> None:
        hanging = Fetch(slots)
        await hanging.begun.wait()
        waiting = Fetch(slots)
        await a_few_turns()
        assert not waiting.begun.is_set()
        for fetch in (hanging, waiting):
            await fetch.finish()

    story(told, slow=0)


@pytest.mark.parametrize("seed", range(20))
def test_no_slot_is_lost(seed: int) -> None:
    """Fetches hang, answer, are refused and are cancelled at random, and in the end all slots are free."""
    draw = random.Random(seed)

    async def told(slots: FetchSlots) -> None:
        fetches = [Fetch(slots) for _ in range(30)]
        for _ in range(100):
            draw.choice(fetches).suffer(draw.choice(["cancel", "response", "rest", "response", "rest"]))
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
        for fetch in fetches:
            fetch.response.set()
            fetch.rest.set()
        await asyncio.gather(*(fetch.task for fetch in fetches), return_exceptions=True)
        taken = [await slots.take() for _ in range(3)]
        waiting = asyncio.create_task(slots.take())
        await a_few_turns()
        assert not waiting.done()
        taken[0].end()
        (await waiting).end()
        assert slots.begin_slow()
        assert slots.begin_slow()
        assert not slots.begin_slow()

    story(told, slots=3, slow=2, queued=99)
