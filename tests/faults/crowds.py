"""A crowd that asks for many new pictures at once, at one edge and at two that share a store."""

import time
from collections.abc import Mapping

from tests.faults.answers import Limits, Span, Summary, summarise
from tests.faults.scenario import Scenario
from tests.faults.stage import count_stored, stage
from tests.faults.timeline import NEW_FROM

CROWD = range(NEW_FROM, NEW_FROM + 250)


async def crowd(edges: int) -> Summary:
    with stage() as here:
        store = here.store()
        running = [here.edge(redis_url=store.url) for _ in range(edges)]
        load = here.load(*running)
        began_s = time.monotonic()
        await load.crowd(CROWD)
        ended_s = time.monotonic()
        figures: Mapping[str, float] = {
            "fetches": here.origin.fetches.total(),
            "fetches of one picture": max(here.origin.fetches.values()),
            "stored": count_stored(store.url),
            "errors of the store": sum("store fails" in line for edge in running for line in edge.log),
        }
        return summarise(load.answers, Span(began_s, ended_s, ended_s), figures)


async def crowd_at_one_edge(_seconds: float) -> Summary:
    return await crowd(1)


async def crowd_at_two_edges(_seconds: float) -> Summary:
    return await crowd(2)


def limits(edges: int) -> Limits:
    """A picture that is shown from its source, because encodes wait too long, is fetched by each edge."""
    return Limits(resets=0, slowest_s=30, figures={"fetches of one picture": edges, "errors of the store": 0})


SCENARIOS = (
    Scenario("crowd", f"{len(CROWD)} new pictures at once at one edge", crowd_at_one_edge, limits(1)),
    Scenario("crowd-two-edges", f"{len(CROWD)} new pictures at once at two edges", crowd_at_two_edges, limits(2)),
)
