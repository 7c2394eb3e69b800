"""A long load of hits, new pictures and purges, and what it leaves in the memory and the descriptors of the workers."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tests.faults.answers import Limits, Span, Summary, summarise
from tests.faults.load import Load, new_client
from tests.faults.scenario import Scenario
from tests.faults.stage import RunningEdge, Stage, open_descriptors, resident_bytes, stage
from tests.faults.store_faults import BEARER, purge
from tests.faults.timeline import NEW_FROM, PICTURES, known

WORKERS = 2
SAMPLE_S = 1.0
PURGE_EVERY_S = 0.5
NEW_SHARE = 0.02  # of all requests (assumed); 60,000 numbers are enough for hours
FILLING_SHARE = 0.5
"""The share in the first half, so that the caches of up to 4,096 entries a worker are full in the second half. At 2 %
they fill for an hour, and until then a worker grows by some kilobytes for each new picture (by a census of objects)."""
MOST_NUMBERS = 60_000
HOT_BYTES = 2 << 20  # so small that files and records fill it in the first half: growth of a cache is no fault
CURVE = Path("runs/soak.png")
GROWTH_LIMIT_MB_H = 20.0  # a worker that has grown by 24 MB/h was a fault


@dataclass(frozen=True)
class Sample:
    at_s: float
    resident_bytes: int
    descriptors: int


async def soak(seconds: float) -> Summary:
    with stage() as here:
        edge = here.edge(redis_url=here.store().url, workers=WORKERS, hot_bytes=HOT_BYTES)
        load = here.load(edge)
        await load.fill(PICTURES)
        began_s = time.monotonic()
        half_s = began_s + seconds / 2
        async with load.running(lambda: _known_or_new(half_s), clients=4):
            purging = asyncio.create_task(_purge_until(began_s + seconds, here, load))
            samples = await _sampled(edge, ends_s=began_s + seconds)
            await purging
        ended_s = time.monotonic()
        _draw(samples, began_s, CURVE)
        return summarise(load.answers, Span(began_s, ended_s, ended_s), _figures(samples, half_s))


def growth_mb_h(samples: Sequence[Sample]) -> float:
    """Return the slope of the resident memory by least squares."""
    times_h = np.array([sample.at_s for sample in samples]) / 3600
    megabytes = np.array([sample.resident_bytes for sample in samples]) / 1e6
    return float(np.polyfit(times_h - times_h.mean(), megabytes, 1)[0])


def _known_or_new(half_s: float) -> int:
    share = FILLING_SHARE if time.monotonic() < half_s else NEW_SHARE
    return random.randrange(NEW_FROM, MOST_NUMBERS) if random.random() < share else known()


async def _purge_until(ends_s: float, here: Stage, load: Load) -> None:
    async with new_client(headers=BEARER) as client:
        while time.monotonic() < ends_s:
            await purge(client, load.urls[0], random.choice(PICTURES), here=here, load=load)
            await asyncio.sleep(PURGE_EVERY_S)


async def _sampled(edge: RunningEdge, *, ends_s: float) -> dict[int, list[Sample]]:
    samples: dict[int, list[Sample]] = {pid: [] for pid in edge.workers()}
    while time.monotonic() < ends_s:
        for pid, found in samples.items():
            found.append(Sample(time.monotonic(), resident_bytes(pid), open_descriptors(pid)))
        await asyncio.sleep(SAMPLE_S)
    return samples


def _figures(samples: dict[int, list[Sample]], half_s: float) -> dict[str, float]:
    late = [[sample for sample in one if sample.at_s >= half_s] for one in samples.values()]
    slopes = [round(growth_mb_h(one), 1) for one in late]
    return {
        **{f"MB/h of worker {index}": slope for index, slope in enumerate(slopes, 1)},
        "MB/h, the most": max(slopes),
        "descriptors more": max(one[-1].descriptors - one[0].descriptors for one in late),
    }


def _draw(samples: dict[int, list[Sample]], began_s: float, path: Path) -> None:
    """Draw the resident memory of each worker over time. A slope alone does not tell a step from a leak."""
    sheet = Figure(figsize=(8, 3.5), layout="constrained")
    axes = sheet.subplots()
    for index, one in enumerate(samples.values(), 1):
        minutes = [(sample.at_s - began_s) / 60 for sample in one]
        axes.plot(minutes, [sample.resident_bytes / 1e6 for sample in one], label=f"worker {index}")
    axes.set_xlabel("minutes")
    axes.set_ylabel("resident memory, MB")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.savefig(path, dpi=100)


SCENARIOS = (
    Scenario(
        "soak",
        "hits, new pictures and purges for a quarter of an hour",
        soak,
        Limits(resets=0, slowest_s=10, figures={"MB/h, the most": GROWTH_LIMIT_MB_H, "descriptors more": 20}),
        seconds=900,
    ),
)
