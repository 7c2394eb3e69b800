"""The picture that a stored latent was made from, fetched again from the origin: only if it is still the same file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from models.config import HIGH_PX
from service.errors import OriginError, PictureTooLarge, SourceError
from service.metrics.outcomes import SweepOutcome
from service.records.record import Record, source_digest
from service.refine.pace import BackOff, Pace
from service.render import image_file
from service.render.image_file import ImageLimits
from service.rules.origin_refused import OriginRefused
from service.upstream.origin_client import OriginClient
from service.upstream.source import Pixels


@dataclass(frozen=True, slots=True)
class Politeness:
    """How the origin is treated."""

    pace: Pace
    back_off: BackOff
    requests: int
    """At most so many at a time."""


class UnchangedSources:
    """Asks the origin for sources, at a bounded rate."""

    def __init__(self, origin: OriginClient, *, limits: ImageLimits, politeness: Politeness) -> None:
        self._origin = origin
        self._limits = limits
        self._politeness = politeness
        self._asking = asyncio.Semaphore(politeness.requests)

    async def high(self, record: Record) -> Pixels | SweepOutcome:
        """Return the reference picture of 344 px, or why there is none any more."""
        async with self._asking:
            await self._politeness.pace.turn()
            await self._politeness.back_off.wait()
            body = await self._body(record.image_id)
        if isinstance(body, SweepOutcome):
            return body
        if source_digest(body) != record.source_digest:
            return SweepOutcome.CHANGED
        try:
            return await asyncio.to_thread(self._read, body)
        except SourceError:
            return SweepOutcome.UNUSABLE

    async def _body(self, image_id: str) -> bytes | SweepOutcome:
        try:
            fetched = await self._origin.fetch(image_id)
        except PictureTooLarge:
            self._politeness.back_off.answered()
            return SweepOutcome.UNUSABLE
        except OriginError as error:
            self._note(error)
            return SweepOutcome.ORIGIN_FAILED
        self._politeness.back_off.answered()
        assert fetched.body is not None, "nothing was asked that a 304 could answer"
        return fetched.body

    def _note(self, error: OriginError) -> None:
        """A 404 is an answer; a 429, a 5xx or none at all is a failure."""
        status = error.status if isinstance(error, OriginRefused) else None
        if status is None or status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._politeness.back_off.failed()
        else:
            self._politeness.back_off.answered()

    def _read(self, body: bytes) -> Pixels:
        return image_file.square(image_file.read(body, limits=self._limits).pixels, HIGH_PX)
