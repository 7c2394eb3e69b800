"""Fetch the source file of a stored latent from the origin again, and check that it is still the same file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from models.picture_array import Pixels
from service.errors import OriginError, PictureTooLarge, QueueFull, SourceError
from service.metrics.outcomes import SweepOutcome
from service.records.record import Record, source_digest
from service.refine.pace import BackOff, Pace
from service.rules.origin_refused import OriginRefused
from service.upstream.origins import Origins
from service.upstream.source_reader import WAITING_CAP, SourceReader


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The limits on requests to the origin: their rate, the back-off after failures, and their number at a time."""

    pace: Pace
    back_off: BackOff
    requests: int
    """The largest number of requests at a time."""


class UnchangedSources:
    """Fetches source files from the origin at a limited rate."""

    def __init__(self, origins: Origins, *, reader: SourceReader, request_limits: RequestLimits) -> None:
        self._origins = origins
        self._reader = reader
        self._reading = asyncio.Semaphore(WAITING_CAP)
        self._request_limits = request_limits
        self._asking = asyncio.Semaphore(request_limits.requests)

    async def high(self, record: Record) -> Pixels | SweepOutcome:
        """Return the record's picture (344, 344, 3), made from its source file, or the outcome that says why not."""
        async with self._asking:
            await self._request_limits.pace.turn()
            await self._request_limits.back_off.wait()
            body = await self._body(record.image_id)
        if isinstance(body, SweepOutcome):
            return body
        if source_digest(body) != record.source_digest:
            return SweepOutcome.CHANGED
        try:
            async with self._reading:
                return (await self._reader.prepare(body)).high
        except SourceError:
            return SweepOutcome.UNUSABLE
        except QueueFull:
            return SweepOutcome.FAILED

    async def _body(self, image_id: str) -> bytes | SweepOutcome:
        try:
            fetched = await self._origins.find(image_id).fetch(image_id)
        except PictureTooLarge:
            self._request_limits.back_off.reset()
            return SweepOutcome.UNUSABLE
        except OriginError as error:
            self._note(error)
            return SweepOutcome.ORIGIN_FAILED
        self._request_limits.back_off.reset()
        assert fetched.body is not None, "the request had no condition, so the answer is no 304"
        return fetched.body

    def _note(self, error: OriginError) -> None:
        """Update the back-off after an error: a 429, a 5xx or no answer is a failure, any other status clears it."""
        status = error.status if isinstance(error, OriginRefused) else None
        if status is None or status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._request_limits.back_off.record_failure()
        else:
            self._request_limits.back_off.reset()
