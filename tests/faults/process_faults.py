"""Faults of the edge's processes: a worker stands still or dies, the edge has to end or to renew its workers."""

import asyncio
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.faults.answers import REFUSED, Limits, Span, Summary, summarise
from tests.faults.load import Load
from tests.faults.scenario import Scenario
from tests.faults.stage import stage
from tests.faults.timeline import BEGINS, PICTURES, break_under_load, known

WORKERS = 2
DRAIN_DELAY_S = 3.0
END_S = 60.0


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
    """Ask until both workers have been replaced."""
    with stage() as here:
        edge = here.edge(redis_url=here.store().url, workers=WORKERS)
        load, before = here.load(edge), edge.workers()
        lasted = await _signalled_until(
            load, lambda: os.kill(edge.parent, signal.SIGHUP), lambda: wait_for_ends(before), quiet_s=BEGINS * seconds
        )
        return summarise(load.answers, lasted.span, {"seconds to the end": lasted.took_s})


async def terminated(seconds: float) -> Summary:
    """Ask until the edge has ended: that connections are refused after the delay is no fault."""
    with stage() as here:
        edge = here.edge(redis_url=here.store().url, workers=WORKERS, drain_delay_s=DRAIN_DELAY_S)
        load, parent = here.load(edge), edge.server.parent
        lasted = await _signalled_until(load, parent.terminate, lambda: parent.wait(END_S), quiet_s=BEGINS * seconds)
        accepts_until_s = lasted.signalled_s + DRAIN_DELAY_S
        early = [one for one in load.answers if one.cut == REFUSED and one.ended_s < accepts_until_s]
        figures = {"refused during the delay": len(early), "seconds to the end": lasted.took_s}
        return summarise(load.answers, lasted.span, figures)


@dataclass(frozen=True)
class Lasted:
    """When the signal was sent, and how long it took until what it asks for was done."""

    signalled_s: float
    span: Span

    @property
    def took_s(self) -> float:
        return round(self.span.ended_s - self.signalled_s, 1)


async def _signalled_until(
    load: Load, signalled: Callable[[], None], wait: Callable[[], object], *, quiet_s: float
) -> Lasted:
    await load.fill(PICTURES)
    began_s = time.monotonic()
    async with load.running(known):
        await asyncio.sleep(quiet_s)
        signalled_s = time.monotonic()
        signalled()
        await asyncio.to_thread(wait)
    ended_s = time.monotonic()
    return Lasted(signalled_s, Span(began_s, ended_s, ended_s))


def wait_for_ends(pids: Sequence[int]) -> None:
    """Wait until these processes have ended, or END_S is over."""
    ends_s = time.monotonic() + END_S
    with ExitStack() as opened:
        left = {opened.enter_context(os.fdopen(os.pidfd_open(pid))) for pid in pids}
        while left and (rest_s := ends_s - time.monotonic()) > 0:
            left -= set(select.select(list(left), (), (), rest_s)[0])


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
        Limits(
            resets=0, other_statuses=0, slowest_s=5, figures={"refused during the delay": 0, "seconds to the end": 15}
        ),
    ),
    Scenario(
        "hang-up",
        "SIGHUP replaces two workers",
        hang_up,
        Limits(resets=0, other_statuses=0, slowest_s=5, silent_s=5, figures={"seconds to the end": END_S - 1}),
    ),
)
