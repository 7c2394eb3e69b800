"""The course of most scenarios: clients ask all the time, the fault begins after a fifth, and is healed after three."""

import asyncio
import random
import time
from collections.abc import Callable

from tests.faults.answers import Span, Summary, summarise
from tests.faults.load import Load

BEGINS, HEALED = 0.2, 0.6
"""Shares of the time of a scenario (assumed)."""
PICTURES = range(20)
NEW_FROM = 1000


def known() -> int:
    """Draw a picture that was asked for before the fault."""
    return random.choice(PICTURES)


async def break_under_load(
    load: Load,
    fault: Callable[[], None],
    *,
    seconds: float,
    heal: Callable[[], None] | None = None,
    draw: Callable[[], int] = known,
) -> Summary:
    """Fill the edges, then run the clients, begin the fault and heal it. Return what the clients saw."""
    await load.fill(PICTURES)
    began_s = time.monotonic()
    async with load.running(draw):
        await asyncio.sleep(BEGINS * seconds)
        healed_s = time.monotonic()
        fault()
        if heal is not None:
            await asyncio.sleep((HEALED - BEGINS) * seconds)
            healed_s = time.monotonic()
            heal()
        await asyncio.sleep(began_s + seconds - time.monotonic())
    return summarise(load.answers, Span(began_s, healed_s, time.monotonic()))
