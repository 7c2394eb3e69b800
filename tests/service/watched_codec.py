"""A real codec worker that is seen at work, and whose thread can be kept in the middle of a refinement."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from service.metrics.codec_counts import CodecCounts
from service.metrics.latent_counts import RefinementCounts
from service.metrics.outcomes import RefinementOutcome
from service.render.codec_options import WorkerOptions
from service.render.codec_queue import QueueLimits
from service.render.codec_worker import CodecWorker

LIMIT_S = 120
OPTIONS = WorkerOptions(
    device="cpu",
    head="auto",
    kernels="auto",
    weights=None,
    threads=1,
    queue=QueueLimits(queue_items=8, batch_items=4, refine_items=1),
)


class SeenRefinements(RefinementCounts):
    """Tells the outcome of each search."""

    def __init__(self, outcomes: asyncio.Queue[RefinementOutcome]) -> None:
        super().__init__(CollectorRegistry())
        self._outcomes = outcomes

    def count(self, outcome: RefinementOutcome) -> None:
        super().count(outcome)
        self._outcomes.put_nowait(outcome)


class Watch(CodecCounts):
    """Sees what the codec does, and keeps its thread after one slice of a refinement until it may go on."""

    def __init__(self, *, holds_after: int = 1) -> None:
        super().__init__(CollectorRegistry())
        self.log: list[str] = []
        self.outcomes: asyncio.Queue[RefinementOutcome] = asyncio.Queue()
        self.refinements = SeenRefinements(self.outcomes)
        self.holds = threading.Event()
        self.may_go_on = threading.Event()
        self._holds_after = holds_after
        self.devices_lost = 0

    def add_refinement_time(self, *, seconds: float) -> None:
        super().add_refinement_time(seconds=seconds)
        self.log.append("slice")
        if self.log.count("slice") == self._holds_after:
            self.holds.set()
            assert self.may_go_on.wait(LIMIT_S), "held for ever"

    def count_batch(self, *, size_px: int, items: int) -> None:
        super().count_batch(size_px=size_px, items=items)
        self.log.append("decode")

    def count_lost_device(self) -> None:
        super().count_lost_device()
        self.devices_lost += 1


@asynccontextmanager
async def worker_seen_by(watch: Watch) -> AsyncIterator[CodecWorker]:
    worker = CodecWorker(OPTIONS, watch)
    await worker.start()
    try:
        yield worker
    finally:
        watch.may_go_on.set()
        await worker.close()
