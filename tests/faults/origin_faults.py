"""Faults of the origin: it hangs for many pictures beside good ones, or while stale pictures are asked for."""

import asyncio
import time
from itertools import count

from tests.faults.answers import Limits, Span, Summary, summarise
from tests.faults.scenario import Scenario
from tests.faults.stage import stage
from tests.faults.timeline import NEW_FROM, PICTURES, break_under_load

HANGING = range(NEW_FROM, NEW_FROM + 70)
BRIEF_S = 1  # the freshness lifetime of pictures that are to be stale


async def beside_hanging_pictures(seconds: float) -> Summary:
    """One client asks for a new picture each time, while others wait for pictures that never come."""
    with stage() as here:
        here.origin.hang(HANGING)
        edge = here.edge(redis_url=here.store().url)
        load, waiting = here.load(edge), here.load(edge)
        numbers = count(NEW_FROM + len(HANGING))
        began_s = time.monotonic()
        crowd = asyncio.create_task(waiting.crowd(HANGING))
        await asyncio.to_thread(here.origin.wait_for_fetches, len(HANGING), limit_s=seconds)
        async with load.running(lambda: next(numbers), clients=1):
            await asyncio.sleep(began_s + seconds - time.monotonic())
        here.origin.answer()
        await crowd
        return summarise(load.answers, Span(began_s, began_s, began_s + seconds))


async def stale_pictures(seconds: float) -> Summary:
    with stage(fresh_s=BRIEF_S) as here:
        load = here.load(here.edge(redis_url=here.store().url))
        return await break_under_load(
            load, lambda: here.origin.hang(PICTURES), heal=here.origin.answer, seconds=seconds
        )


SCENARIOS = (
    Scenario(
        "origin-hangs",
        f"the origin hangs for {len(HANGING)} pictures beside good ones",
        beside_hanging_pictures,
        Limits(resets=0, other_statuses=0, slowest_s=4),
    ),
    Scenario(
        "origin-hangs-stale",
        "the origin hangs while stale pictures are asked for",
        stale_pictures,
        Limits(resets=0, other_statuses=0, slowest_s=4, normal_after_s=5),
        seconds=20,
    ),
)
