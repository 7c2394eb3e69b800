"""The command `refine`: search for better latents of all pictures in a store (a sweep), and print the result.

Settings without an option of the command come from the environment, as for an edge: weights, device, head, limits.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import typer

from service.commands.codec_choice import codec_failures
from service.commands.failure import CommandFailure
from service.commands.progress import progress_bar
from service.errors import CodecFailed, SettingsError, StoreUnavailable
from service.metrics.outcomes import SweepOutcome
from service.metrics.telemetry import Telemetry
from service.records.store_keys import KEY_PREFIX, generations_key
from service.refine.candidates import SweepAim
from service.refine.pace import BackOff, Pace
from service.refine.sweep import Sweep, SweepTally
from service.refine.unchanged_source import RequestLimits, UnchangedSources
from service.render.codec_options import WorkerOptions
from service.render.codec_queue import QueueLimits
from service.render.codec_worker import CodecWorker
from service.render.image_file import ImageLimits
from service.settings.background import read_background
from service.settings.edge_settings import Settings, read_settings
from service.settings.quality import TargetScore
from service.store.connection import Connection, Timeouts
from service.store.generation_store import GenerationStore
from service.store.latent_store import LatentStore
from service.store.servers import Servers
from service.upstream.origin_client import Limits
from service.upstream.origins import Origins
from service.upstream.source_reader import SourceReader


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineOrder:
    """The options of a sweep: the store, the origin, the steps of each search, and the rate limit."""

    store: str
    origin: str
    steps: int
    refine_for: str
    per_minute: float
    origin_requests: int


def refine(order: RefineOrder) -> None:
    """Run a sweep over the store, and print one line of JSON at its end, even if it is interrupted.

    Raises CommandFailure if a setting is wrong, or if the store or the codec fails.
    """
    settings = _settings(order)
    try:
        asyncio.run(_run(order, settings))
    except StoreUnavailable as error:
        raise CommandFailure(f"latentedge refine: the store does not answer: {error}") from error
    except CodecFailed as error:
        raise CommandFailure(f"latentedge refine: stopped after several failed searches in a row: {error}") from error


def _settings(order: RefineOrder) -> Settings:
    if not order.store:
        raise CommandFailure("latentedge refine: --store is missing: give the URL of the edges' Redis or Valkey")
    given = {"redis_url": order.store, "refine": order.steps, "refine_for": order.refine_for}
    if order.origin:
        given["origin"] = order.origin
    try:
        settings = read_settings(**given)
        Servers.check(settings.redis_url)
    except SettingsError as error:
        raise CommandFailure(f"latentedge refine: cannot start: {error}") from error
    return settings


async def _run(order: RefineOrder, settings: Settings) -> None:
    async with AsyncExitStack() as closing:
        worker = await _worker(settings, closing)
        connection = Connection(
            settings.redis_url,
            timeouts=Timeouts(timeout_s=settings.store_timeout_s, retry_s=settings.store_retry_s),
            observer=Telemetry().store,
        )
        closing.push_async_callback(connection.close)
        store = LatentStore(connection)
        sweep = Sweep(
            _aim(settings, worker),
            store=store,
            generations=GenerationStore(connection, generations_key(settings.namespace)),
            sources=_sources(order, settings, closing),
            worker=worker,
        )
        await _run_sweep(sweep, await store.hottest(prefix=KEY_PREFIX), at_once=_at_once(settings, worker))


async def _run_sweep(sweep: Sweep, keys: Sequence[bytes], *, at_once: int) -> None:
    started_s = time.monotonic()
    try:
        with progress_bar() as bar:
            task = bar.add_task("refining", total=len(keys))
            await sweep.run(keys, at_once=at_once, done=lambda: bar.advance(task))
    finally:
        typer.echo(_summary(sweep.tally, seconds=time.monotonic() - started_s))


async def _worker(settings: Settings, closing: AsyncExitStack) -> CodecWorker:
    limits = QueueLimits(
        queue_items=1,
        batch_items=1,
        refine_items=2 * settings.refine_batch,  # one batch is in progress, and the next one waits
        refine_batch=settings.refine_batch,
    )
    options = replace(WorkerOptions.of(settings), queue=limits, previous_weights=None)
    worker = CodecWorker(options, Telemetry().codec)
    closing.push_async_callback(worker.close)
    with codec_failures(settings.device):
        await worker.start()
    return worker


def _at_once(settings: Settings, worker: CodecWorker) -> int:
    """Return how many pictures to work on at a time: while one batch is searched, the next batch is fetched."""
    return 2 if worker.runs_on_cpu else 2 * settings.refine_batch


def _aim(settings: Settings, worker: CodecWorker) -> SweepAim:
    return SweepAim(
        origin=settings.namespace,
        stream_id=worker.names.stream_id,
        steps=settings.refine,
        target=settings.quality if isinstance(settings.quality, TargetScore) else None,
    )


def _sources(order: RefineOrder, settings: Settings, closing: AsyncExitStack) -> UnchangedSources:
    limits = Limits(source_bytes=settings.source_bytes, timeout_s=settings.origin_timeout_s)
    origins = Origins.of(settings, limits=limits, observer=Telemetry().origin)
    closing.push_async_callback(origins.close)
    request_limits = RequestLimits(
        pace=Pace(order.per_minute, clock=time.monotonic, sleep=asyncio.sleep),
        back_off=BackOff(sleep=asyncio.sleep),
        requests=order.origin_requests,
    )
    reader = SourceReader(
        ImageLimits(settings.source_pixels),
        threads=closing.enter_context(ThreadPoolExecutor(1, "source")),
        cpu_s=settings.source_s,
        background=read_background(settings.background),
    )
    closing.callback(reader.close)
    return UnchangedSources(origins, reader=reader, request_limits=request_limits)


def _summary(tally: SweepTally, *, seconds: float) -> str:
    """Return one line of JSON with the number of keys for every outcome, the bytes of latents, and the seconds."""
    outcomes = {outcome.value: tally.outcomes[outcome] for outcome in SweepOutcome}
    sizes = {"first_bytes": tally.first_bytes, "refined_bytes": tally.refined_bytes}
    return json.dumps({"keys": tally.outcomes.total(), **outcomes, **sizes, "seconds": round(seconds, 1)})
