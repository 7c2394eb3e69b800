"""Start what one worker does beside requests: demotions, the sample of the shadow baseline, and figures over time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

from service.demotion.candidates import DemotionAim
from service.demotion.demoter import Demoter, DemotionRules
from service.metrics.latent_counts import DemotionCounts
from service.metrics.telemetry import Telemetry
from service.records.census import Census
from service.render.picture_codec import PictureCodec
from service.serving.store_parts import StoreParts
from service.settings.edge_settings import Settings
from service.shadow.file_sizes import FileSizes
from service.shadow.sampler import Sampler
from service.store.latent_store import LatentStore
from service.web.recorder import Recorder, recording, shared_folder


def start_demoter(
    settings: Settings, stored: StoreParts, codec: PictureCodec, *, counts: DemotionCounts, closing: AsyncExitStack
) -> None:
    """Demote cold records from now on, if EDGE_DEMOTE says so."""
    if not settings.demote:
        return
    aim = DemotionAim(origin=settings.namespace, stream_id=codec.names.stream_id)
    rules = DemotionRules(share=settings.demote, per_minute=settings.demote_per_minute, aim=aim)
    demoter = Demoter(rules, store=stored.store, generations=stored.generations, worker=codec, counts=counts)
    closing.push_async_callback(demoter.close)
    demoter.start()


@asynccontextmanager
async def sampling(codec: PictureCodec, telemetry: Telemetry, *, cpu_share: float) -> AsyncIterator[Sampler]:
    """Note requests for the shadow baseline during the block, and measure the sampled pictures in the background."""
    with ThreadPoolExecutor(1, "shadow") as threads:
        sizes = FileSizes(
            codec,
            threads,
            cpu_share=cpu_share,
            is_busy=lambda: telemetry.codec.queue_depth > 0,
            on_measured=telemetry.shadow.count_measurement,
        )
        sampler, task = Sampler(sizes, shared_folder()), asyncio.create_task(sizes.run())
        yield sampler
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        sampler.close()


async def start_recorder(
    settings: Settings, telemetry: Telemetry, store: LatentStore, *, sampler: Sampler, closing: AsyncExitStack
) -> Recorder | None:
    """Record the figures from now on, unless there is an admin process, which does it."""
    if settings.admin_port:
        return None
    # A census of its own: that of /stats is kept for a moment, and would be older than the request.
    record = recording(telemetry, Census(store, telemetry.store), sampler=sampler, otlp_url=settings.otlp_url)
    return await closing.enter_async_context(record)
