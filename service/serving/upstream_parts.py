"""Build the parts of one worker that fetch pictures: the origins, the parent, and the readers of fetched files."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from service.metrics.telemetry import Telemetry
from service.metrics.upstream_counts import ParentCounts
from service.render.image_file import ImageLimits
from service.render.picture_codec import PictureCodec
from service.rules.freshness import FreshnessRules
from service.serving.open_files import room_for_slow_fetches
from service.settings.background import read_background
from service.settings.edge_settings import Settings
from service.upstream.intake import Intake
from service.upstream.origin_access import bearer
from service.upstream.origin_client import Limits, OriginClient
from service.upstream.origins import Origins, fetches_of
from service.upstream.parent import Parent
from service.upstream.source_reader import SourceReader
from service.upstream.upstream import Upstream
from service.web.questions import LATENTS

SOURCE_THREADS = 2
"""Assumed: while one thread reads a source file, the other one resizes a picture."""


def build_upstream(
    settings: Settings,
    telemetry: Telemetry,
    codec: PictureCodec,
    *,
    rules: FreshnessRules,
    now: Callable[[], float],
    closing: AsyncExitStack,
) -> Upstream:
    """Return the sources of pictures: the origins, and the parent if there is one."""
    limits = _fetch_limits(settings, timeout_s=settings.origin_timeout_s)
    origins = Origins.of(settings, limits=limits, observer=telemetry.origin, now=now)
    closing.push_async_callback(origins.close)
    intake = Intake(rules, worker=codec, reader=_source_reader(settings, closing))
    return Upstream(origins, intake, parent=_parent(settings, intake, telemetry.parent, now=now, closing=closing))


def _source_reader(settings: Settings, closing: AsyncExitStack) -> SourceReader:
    reader = SourceReader(
        ImageLimits(source_pixels=settings.source_pixels),
        # Threads of their own, so that source files do not delay the picture files of hits.
        threads=closing.enter_context(ThreadPoolExecutor(SOURCE_THREADS, "source")),
        cpu_s=settings.source_s,
        background=read_background(settings.background),
    )
    closing.callback(reader.close)
    return reader


def _parent(
    settings: Settings, intake: Intake, counts: ParentCounts, *, now: Callable[[], float], closing: AsyncExitStack
) -> Parent | None:
    if not settings.parent:
        return None
    client = OriginClient(
        settings.parent + LATENTS.rstrip("/"),
        limits=_fetch_limits(settings, timeout_s=settings.parent_timeout_s),
        observer=counts,
        access=bearer(settings.parent_token.get_secret_value()),
        pass_on=settings.pass_on,
        now=now,
    )
    closing.push_async_callback(client.close)
    return Parent(client, intake=intake, retry_s=settings.parent_retry_s, counts=counts)


def _fetch_limits(settings: Settings, *, timeout_s: float) -> Limits:
    return Limits(
        source_bytes=settings.source_bytes,
        timeout_s=timeout_s,
        connect_timeout_s=settings.origin_connect_timeout_s,
        slots=settings.origin_fetches,
        slow=room_for_slow_fetches(settings.origin_slow_fetches, origins=len(fetches_of(settings))),
        queued=settings.origin_queue_items,
    )
