"""Where a fill gets its picture: from the parent if there is one, else from the origin. Stores nothing."""

from __future__ import annotations

import asyncio

from service.metrics.timings import Timings
from service.records.record import Record
from service.rules.freshness import Storage
from service.rules.origin_refused import OriginRefused
from service.rules.response_fields import ResponseFields
from service.upstream.intake import Delivered, Intake
from service.upstream.origin_client import Fetched, FileTooLarge, OriginClient
from service.upstream.parent import Parent
from service.upstream.source import Source, Terms

# Assumed: so many files are in memory at most, on their way from the origin or waiting to be read.
SOURCES = 64


class Upstream:
    """All who can be asked, in their order."""

    def __init__(self, origin: OriginClient, intake: Intake, *, parent: Parent | None) -> None:
        self._origin = origin
        self._intake = intake
        self._parent = parent
        self._under_way = asyncio.Semaphore(SOURCES)

    async def fetch(self, image_id: str, terms: Terms, timings: Timings) -> Source:
        """The picture as the origin has it, in both sizes. Raises what the client is told."""
        return await self.as_source(await self.ask(image_id, terms, timings))

    async def as_source(self, delivered: Delivered) -> Source:
        """The same for what is already there."""
        return await self._intake.as_source(delivered)

    async def ask(
        self, image_id: str, terms: Terms, timings: Timings, known: Record | Source | None = None
    ) -> Delivered:
        """What there is now, or that what is known is still good."""
        try:
            async with self._under_way:
                return await self._asked(image_id, terms, timings, known)
        except OriginRefused as refused:
            refused.is_reusable = self._intake.may_be_reused(image_id, refused)
            raise

    async def _asked(self, image_id: str, terms: Terms, timings: Timings, known: Record | Source | None) -> Delivered:
        if self._parent is not None:
            delivered = await self._parent.ask(image_id, terms, timings, known=known)
            if delivered is not None:
                return delivered
        with timings.measure("origin"):
            fetched = await self._fetched(image_id, terms, known)
        return await self._intake.take(image_id, fetched, timings)

    async def _fetched(self, image_id: str, terms: Terms, known: Record | Source | None) -> Fetched:
        try:
            return await self._origin.fetch(
                image_id,
                etag=_etag(known),
                last_modified=_last_modified(known),
                passed_by=terms.passed_by,
                client=terms.fields,
            )
        except OriginRefused as refused:
            refused.fields = self._intake.settled(refused.fields)
            raise
        except FileTooLarge as error:
            fields = self._intake.settled(error.fields)
            with self._intake.judging(fields, self._intake.storage(image_id, fields)):
                raise

    def settled(self, fields: ResponseFields) -> ResponseFields:
        """Return what was answered as the redirects on the way limit it."""
        return self._intake.settled(fields)

    def storage(self, image_id: str, fields: ResponseFields) -> Storage:
        """Decide whether an answer may be stored and fits into a record, and for how long."""
        return self._intake.storage(image_id, fields)


def _etag(known: Record | Source | None) -> str:
    return known.fields.etag if isinstance(known, Source) else "" if known is None else known.origin_etag


def _last_modified(known: Record | Source | None) -> str:
    fields = known.fields if isinstance(known, Source) else known
    return "" if fields is None else fields.passed.last_modified
