"""Asks the origin for a picture, or whether it has changed, and makes of its file what a fill needs. Stores nothing."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from service.cache import freshness
from service.cache.freshness import FreshnessRules, Storage
from service.cache.origin_fields import OriginFields
from service.cache.record import Record, all_fit
from service.cache.renewal import Confirmed
from service.cache.source import Source, prepare
from service.origin.client import OriginClient
from service.render.image_file import ImageLimits
from service.telemetry import Timings

# Assumed: so many files are in memory at most, on their way from the origin or waiting to be read.
SOURCES = 64


class Sources:
    """The pictures of one origin."""

    def __init__(
        self, origin: OriginClient, rules: FreshnessRules, *, image_limits: ImageLimits, threads: Executor
    ) -> None:
        self._origin = origin
        self._rules = rules
        self._image_limits = image_limits
        self._threads = threads
        self._under_way = asyncio.Semaphore(SOURCES)

    async def fetch(self, image_id: str, timings: Timings) -> Source:
        """The picture as the origin has it, in both sizes. Raises what the client is told."""
        answered = await self.ask(image_id, timings)
        assert isinstance(answered, Source), "nothing was asked of it that a 304 could answer"
        return answered

    async def ask(self, image_id: str, timings: Timings, known: Record | None = None) -> Source | Confirmed:
        """The same, or that what is known is still good."""
        etag = "" if known is None else known.origin_etag
        last_modified = "" if known is None else known.passed.last_modified
        async with self._under_way:
            with timings.measured("origin"):
                fetched = await self._origin.fetch(image_id, etag=etag, last_modified=last_modified)
            fields, body = freshness.dated(fetched.fields), fetched.body
            if body is None:
                return Confirmed(fields)
            with timings.measured("source"):
                keep = not freshness.may_be_transformed(fields.passed)
                prepared = await asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: prepare(body, self._image_limits, keep=keep)
                )
        return Source(fields, prepared, self.storage(fields))

    def storage(self, fields: OriginFields) -> Storage:
        """Whether what the origin has answered may be stored, and can be."""
        if not all_fit(fields.passed):
            return Storage(lifetime_s=0, obstacle="long-field")
        return freshness.storage(fields, self._rules)
