"""One flight for many callers, also when some of them are cancelled."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from service.cache.coalescing import Coalescing, Show

CALLERS = 50


class Runway:
    """A flight that starts at once and ends when the test says so."""

    def __init__(self) -> None:
        self.taken_off = asyncio.Event()
        self.may_land = asyncio.Event()
        self.flights = 0

    async def fly(self, _: Show[str]) -> str:
        self.flights += 1
        self.taken_off.set()
        await self.may_land.wait()
        return f"flight {self.flights}"

    async def crash(self, show: Show[str]) -> str:
        await self.fly(show)
        raise ConnectionError


def story(scenario: Callable[[Coalescing[str], Runway], Coroutine[Any, Any, None]]) -> None:
    async def told() -> None:
        coalescing: Coalescing[str] = Coalescing(CALLERS)
        await scenario(coalescing, Runway())
        if flights := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(flights)
        await asyncio.sleep(0)  # one turn of the loop: a flight that just landed still has to be signed off
        assert len(coalescing) == 0, "a flight was left behind"

    asyncio.run(told())
    gc.collect()  # an error that nobody looked at would be reported here, and reports are errors


def test_many_callers_make_one_flight() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        callers = [asyncio.create_task(coalescing.run("cat", runway.fly)) for _ in range(CALLERS)]
        await runway.taken_off.wait()
        runway.may_land.set()
        landed = await asyncio.gather(*callers)
        assert runway.flights == 1
        assert {one.value for one in landed} == {"flight 1"}
        assert [one.collapsed for one in landed].count(False) == 1

    story(scenario)


def test_each_key_has_its_own_flight() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        runway.may_land.set()
        await asyncio.gather(coalescing.run("cat", runway.fly), coalescing.run("dog", runway.fly))
        assert runway.flights == 2

    story(scenario)


def test_a_flight_outlives_the_caller_that_started_it() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        first = asyncio.create_task(coalescing.run("cat", runway.fly))
        await runway.taken_off.wait()
        second = asyncio.create_task(coalescing.run("cat", runway.fly))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        runway.may_land.set()
        assert (await second).value == "flight 1"
        assert runway.flights == 1

    story(scenario)


def test_a_flight_without_callers_still_lands() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        stored = asyncio.Event()

        async def fill(show: Show[str]) -> str:
            value = await runway.fly(show)
            stored.set()
            return value

        only = asyncio.create_task(coalescing.run("cat", fill))
        await runway.taken_off.wait()
        only.cancel()
        runway.may_land.set()
        await stored.wait()

    story(scenario)


@pytest.mark.parametrize("caller_stays", [True, False])
def test_an_error_ends_the_flight_and_the_next_caller_starts_another(*, caller_stays: bool) -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        callers = [asyncio.create_task(coalescing.run("cat", runway.crash)) for _ in range(3)]
        await runway.taken_off.wait()
        if not caller_stays:
            for caller in callers:
                caller.cancel()
        runway.may_land.set()
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        expected = ConnectionError if caller_stays else asyncio.CancelledError
        assert {type(outcome) for outcome in outcomes} == {expected}
        assert (await coalescing.run("cat", runway.fly)).value == "flight 2"

    story(scenario)


def test_closing_ends_every_flight() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        caller = asyncio.create_task(coalescing.run("cat", runway.fly))
        await runway.taken_off.wait()
        await coalescing.close(within_s=0)
        with pytest.raises(asyncio.CancelledError):
            await caller

    story(scenario)


def test_closing_lets_flights_land_within_a_limit() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        caller = asyncio.create_task(coalescing.run("cat", runway.fly))
        await runway.taken_off.wait()
        closing = asyncio.create_task(coalescing.close(within_s=60))
        runway.may_land.set()
        await closing
        assert (await caller).value == "flight 1"

    story(scenario)


def test_a_flight_may_show_a_preliminary_result_and_continue() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        async def fly(show: Show[str]) -> str:
            show("so far")
            return await runway.fly(show)

        early = await coalescing.run("cat", fly, to_the_end=False)
        late = await coalescing.run("cat", fly, to_the_end=False)
        assert (early.value, early.collapsed, late.value, late.collapsed) == ("so far", False, "so far", True)
        waiting = asyncio.create_task(coalescing.run("cat", fly))
        await runway.taken_off.wait()
        runway.may_land.set()
        assert (await waiting).value == "flight 1"
        assert runway.flights == 1

    story(scenario)


def test_a_caller_that_does_not_wait_to_the_end_gets_the_result_of_a_quick_flight() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        runway.may_land.set()
        assert (await coalescing.run("cat", runway.fly, to_the_end=False)).value == "flight 1"
        with pytest.raises(ConnectionError):
            await coalescing.run("cat", runway.crash, to_the_end=False)

    story(scenario)


def test_an_error_after_a_result_was_shown_reaches_no_caller() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        async def crash(show: Show[str]) -> str:
            show("so far")
            return await runway.crash(show)

        assert (await coalescing.run("cat", crash, to_the_end=False)).value == "so far"
        runway.may_land.set()

    story(scenario)


def test_a_caller_is_late_once_a_flight_has_shown_its_result() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        async def fly(show: Show[str]) -> str:
            show("preview")
            return await runway.fly(show)

        early = await coalescing.run("cat", fly, to_the_end=False)
        late = await coalescing.run("cat", fly, to_the_end=False)
        coalescing.show_instead("cat", "another", only=late)
        latest = await coalescing.run("cat", fly, to_the_end=False)
        assert [(one.value, one.late) for one in (early, late, latest)] == [
            ("preview", False),
            ("preview", True),
            ("another", True),
        ]
        waiting = asyncio.create_task(coalescing.run("cat", fly))
        await asyncio.sleep(0)
        runway.may_land.set()
        patient = await waiting
        assert (patient.value, patient.late, runway.flights) == ("flight 1", False, 1)

    story(scenario)


def test_a_result_is_not_shown_instead_of_that_of_another_flight() -> None:
    async def scenario(coalescing: Coalescing[str], runway: Runway) -> None:
        async def fly(show: Show[str]) -> str:
            show("preview")
            return await runway.fly(show)

        one = await coalescing.run("cat", fly, to_the_end=False)
        coalescing.forget("cat")
        other = await coalescing.run("cat", fly, to_the_end=False)
        coalescing.show_instead("cat", "of the forgotten", only=one)
        assert (await coalescing.run("cat", fly, to_the_end=False)).value == other.value
        runway.may_land.set()

    story(scenario)
