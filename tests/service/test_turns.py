"""So many fills have a turn at a time. The others wait in order, or are refused before anything is spent on them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from service.errors import QueueFull
from service.records.turns import Turns


class Fills:
    """Fills whose turns end when the test says so."""

    def __init__(self, together: int, *, wait_s: float = 0) -> None:
        self.now_s = 0.0
        self.begun: list[str] = []
        self.turns = Turns(together, wait_s=wait_s, clock=lambda: self.now_s)
        self._ends: dict[str, asyncio.Event] = {}

    async def start(self, name: str, *, again: bool = False) -> asyncio.Task[None]:
        """Start a fill, and let it run as far as it can."""
        self._ends[name] = asyncio.Event()
        fill = asyncio.create_task(self._fill(name, again=again))
        await self.settle()
        return fill

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(10):  # turns of the event loop; nothing here waits for anything else
            await asyncio.sleep(0)

    async def _fill(self, name: str, *, again: bool) -> None:
        async with self.turns.turn(again=again):
            self.begun.append(name)
            await self._ends[name].wait()


def story(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def test_fills_wait_in_order_and_those_that_come_again_go_first() -> None:
    async def scenario() -> None:
        fills = Fills(2)
        for name in ("a", "b", "c", "d"):
            await fills.start(name)
        for name in ("e", "f"):
            await fills.start(name, again=True)
        assert fills.begun == ["a", "b"]
        for name in ("a", "b", "e", "f", "c", "d"):
            await fills.end(name)
        assert fills.begun == ["a", "b", "e", "f", "c", "d"]
        await fills.start("g")
        await fills.start("h")
        assert fills.begun[-2:] == ["g", "h"], "a turn was lost"
        await fills.end("g")
        await fills.end("h")

    story(scenario)


def test_a_turn_may_end_before_its_block() -> None:
    async def scenario() -> None:
        turns = Turns(1, wait_s=0)
        async with turns.turn() as first:
            first.end()
            async with turns.turn() as second:
                first.end()
                waiting = asyncio.create_task(turns.turn().__aenter__())
                await asyncio.sleep(0)
                assert not waiting.done(), "the first turn was given back twice"
                second.end()
                await waiting

    story(scenario)


def test_a_fill_whose_turn_would_come_too_late_is_refused_at_once() -> None:
    async def scenario() -> None:
        fills = Fills(2, wait_s=6)
        await fills.start("first")
        fills.now_s += 4
        await fills.end("first")  # a turn takes 4 s, so two at a time make a wait of 2 s for each that waits
        for name in ("a", "b"):
            await fills.start(name)
        waiting = [await fills.start(name) for name in ("c", "d", "e")]
        with pytest.raises(QueueFull, match=r"8\.0 s"):
            await (await fills.start("too late"))
        assert not any(fill.done() for fill in waiting)
        for name in ("a", "b", "c", "d", "e"):
            await fills.end(name)
        assert fills.begun == ["first", "a", "b", "c", "d", "e"]

    story(scenario)


def test_the_end_of_the_queue_is_refused_when_turns_take_longer_than_before() -> None:
    async def scenario() -> None:
        fills = Fills(1, wait_s=10)
        tasks = [await fills.start(str(number)) for number in range(20)]  # nothing is known yet
        fills.now_s += 2
        await fills.end("0")
        refused = [number for number, task in enumerate(tasks) if task.done() and task.exception()]
        assert refused == list(range(7, 20)), "five turns of 2 s are 10 s"
        for number in range(1, 7):
            await fills.end(str(number))
        assert fills.begun == [str(number) for number in range(7)]

    story(scenario)


def test_a_fill_that_comes_again_is_not_refused() -> None:
    async def scenario() -> None:
        fills = Fills(1, wait_s=1)
        await fills.start("first")
        again, new = [await fills.start(str(number), again=True) for number in range(3)], await fills.start("new")
        fills.now_s += 2
        await fills.end("first")
        assert new.done()
        assert isinstance(new.exception(), QueueFull)
        for number in range(3):
            await fills.end(str(number))
        await asyncio.gather(*again)

    story(scenario)


@pytest.mark.parametrize("after_its_turn_came", [False, True])
def test_a_fill_that_is_cancelled_gives_up_its_turn(*, after_its_turn_came: bool) -> None:
    async def scenario() -> None:
        fills = Fills(1)
        await fills.start("first")
        leaving, last = await fills.start("leaving"), await fills.start("last")
        if after_its_turn_came:
            fills._ends["first"].set()
            await asyncio.sleep(0)
            assert (len(fills.turns), fills.begun) == (1, ["first"])
        leaving.cancel()
        await fills.end("first")
        assert fills.begun == ["first", "last"]
        await fills.end("last")
        await last
        await fills.start("next")
        assert fills.begun[-1] == "next"
        await fills.end("next")

    story(scenario)
