"""Faults of the edge's processes: a worker stands still or dies, the edge has to end or to renew its workers."""

import asyncio
import os
import signal
import time
from dataclasses import replace

from tests.faults.answers import Limits, Span, Summary, summarise
from tests.faults.scenario import Scenario
from tests.faults.stage import stage
from tests.faults.timeline import BEGINS, PICTURES, break_under_load, known

WORKERS = 2
DRAIN_DELAY_S = 3.0
END_S = 30.0


async def worker_signalled(signal_number: int, seconds: float) -> Summary:
    with stage() as here:
        edge = here.edge(redis_url=here.store().url, workers=WORKERS)
        victim = edge.workers()[0]
        return await break_under_load(here.load(edge), lambda: os.kill(victim, signal_number), seconds=seconds)


async def worker_stopped(seconds: float) -> Summary:
    return await worker_signalled(signal.SIGSTOP, seconds)


async def worker_killed(seconds: float) -> Summary:
    return await worker_signalled(signal.SIGKILL, seconds)


async def hang_up(seconds: float) -> Summary:
    with stage() as here:
        edge = here.edge(redis_url=here.store().url, workers=WORKERS)
        before = set(edge.workers())
        seen = await break_under_load(here.load(edge), lambda: os.kill(edge.parent, signal.SIGHUP), seconds=seconds)
        return replace(seen, figures={"old workers left": len(before & set(edge.workers()))})


async def terminated(seconds: float) -> Summary:
    """Ask until the edge has ended: that connections are refused then is no fault."""
    with stage() as here:
        edge = here.edge(redis_url=here.store().url, workers=WORKERS, drain_delay_s=DRAIN_DELAY_S)
        load = here.load(edge)
        await load.fill(PICTURES)
        began_s = time.monotonic()
        async with load.running(known):
            await asyncio.sleep(BEGINS * seconds)
            stopped_s = time.monotonic()
            edge.server.parent.send_signal(signal.SIGTERM)
            await asyncio.to_thread(edge.server.parent.wait, END_S)
        ended_s = time.monotonic()
        seen = summarise(load.answers, Span(began_s, ended_s, ended_s))
        return replace(seen, figures={"seconds to the end": ended_s - stopped_s})


SCENARIOS = (
    Scenario(
        "worker-stopped",
        "one of two workers stands still (SIGSTOP)",
        worker_stopped,
        Limits(other_statuses=0, slowest_s=10, silent_s=10),
        seconds=20,
    ),
    Scenario(
        "worker-killed",
        "one of two workers is killed",
        worker_killed,
        Limits(other_statuses=0, slowest_s=5, silent_s=5),
    ),
    Scenario(
        "terminated",
        f"SIGTERM with EDGE_DRAIN_DELAY_S={DRAIN_DELAY_S:g}",
        terminated,
        Limits(resets=0, other_statuses=0, slowest_s=5, figures={"seconds to the end": 15}),
    ),
    Scenario(
        "hang-up",
        "SIGHUP replaces two workers",
        hang_up,
        Limits(resets=0, other_statuses=0, slowest_s=5, silent_s=5, figures={"old workers left": 0}),
        seconds=25,
    ),
)
