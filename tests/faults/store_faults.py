"""Faults of the store: it stands still, it dies, its answers are late."""

import asyncio
import os
import random
import signal
import time
from dataclasses import replace

import httpx

from tests.faults.answers import OK, Limits, Span, Summary, summarise
from tests.faults.load import Load, new_client
from tests.faults.scenario import Scenario
from tests.faults.stage import TOKEN, Stage, stage, store_pid
from tests.faults.timeline import PICTURES, break_under_load, known

DELAY_S = 0.1  # of each answer of the store, at most
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def store_stopped(seconds: float) -> Summary:
    with stage() as here:
        store = here.store()
        pid = store_pid(store.url)
        load = here.load(here.edge(redis_url=store.url))
        return await break_under_load(
            load,
            lambda: os.kill(pid, signal.SIGSTOP),
            heal=lambda: os.kill(pid, signal.SIGCONT),
            seconds=seconds,
        )


async def store_killed(seconds: float) -> Summary:
    with stage() as here:
        edge = here.edge()
        with edge.server.store() as direct:
            pid = direct.info("server")["process_id"]
        return await break_under_load(here.load(edge), lambda: os.kill(pid, signal.SIGKILL), seconds=seconds)


async def slow_store_purges(seconds: float) -> Summary:
    with stage() as here:
        store = here.store()
        urls = [here.delayed(store.url, delay_s=DELAY_S) for _ in range(2)]
        load = here.load(*[here.edge(redis_url=url) for url in urls])
        await load.fill(PICTURES)
        began_s = time.monotonic()
        async with load.running(known):
            purges = await _purge_until(began_s + seconds, here, load)
        seen = summarise(load.answers, Span(began_s, began_s + seconds, time.monotonic()))
    return replace(seen, figures={"purges": purges})


async def _purge_until(ends_s: float, here: Stage, load: Load) -> int:
    """Publish and purge one picture after the other, at either edge. Return the number of purges."""
    purges = 0
    async with new_client(headers=BEARER) as client:
        while time.monotonic() < ends_s:
            await purge(client, random.choice(load.urls), random.choice(PICTURES), here=here, load=load)
            purges += 1
            await asyncio.sleep(DELAY_S)
    return purges


async def purge(client: httpx.AsyncClient, url: str, number: int, *, here: Stage, load: Load) -> None:
    """Publish the next version of a picture and purge it. Requests after the answer must get that version."""
    here.origin.versions[number] += 1
    version = here.origin.versions[number]
    answer = await client.post(f"{url}/purge", json={"id": str(number)})
    if answer.status_code == OK:
        load.promised[number] = version


SCENARIOS = (
    Scenario(
        "store-stopped",
        "the store stands still (SIGSTOP), and goes on",
        store_stopped,
        Limits(resets=0, other_statuses=0, slowest_s=5, normal_after_s=3),
    ),
    Scenario(
        "store-killed",
        "the embedded store is killed",
        store_killed,
        Limits(resets=0, other_statuses=0, slowest_s=5, normal_after_s=10),
    ),
    Scenario(
        "slow-store-purges",
        "purges by id at two edges whose store answers up to 0.1 s late",
        slow_store_purges,
        Limits(resets=0),
    ),
)
