"""Fetch a picture from the parent if there is one, otherwise from the origin. Stores nothing."""

from __future__ import annotations

from service.metrics.timings import Timings
from service.records.record import Record
from service.rules.freshness import Storage
from service.rules.origin_refused import OriginRefused
from service.rules.response_fields import ResponseFields
from service.upstream.fetched import Fetched, FileTooLarge
from service.upstream.intake import Delivered, Intake
from service.upstream.origin_client import OriginClient
from service.upstream.origins import Origins
from service.upstream.parent import Parent
from service.upstream.slots import OnSlow, Slot, ignore
from service.upstream.source import Source, Terms


class Upstream:
    """The parent and the origins of this edge."""

    def __init__(self, origins: Origins, intake: Intake, *, parent: Parent | None) -> None:
        self._origins = origins
        self._intake = intake
        self._parent = parent

    async def fetch(self, image_id: str, terms: Terms, timings: Timings) -> Source:
        """Fetch a picture, and return it as pixels in both sizes. Raises an EdgeError."""
        return await self.as_source(await self.ask(image_id, terms, timings))

    async def as_source(self, delivered: Delivered) -> Source:
        """Return a fetched picture as pixels in both sizes. A latent is decoded."""
        return await self._intake.as_source(delivered)

    async def ask(
        self,
        image_id: str,
        terms: Terms,
        timings: Timings,
        known: Record | Source | None = None,
        *,
        on_slow: OnSlow = ignore,
    ) -> Delivered:
        """Fetch a picture or a latent, or validate the `known` one. Return Confirmed if it has not changed.

        `on_slow` is called when the response takes long to begin.
        Raises an OriginError, a SourceError, QueueFull or CodecFailed.
        """
        try:
            return await self._ask_parent_or_origin(image_id, terms, timings, known, on_slow)
        except OriginRefused as refused:
            refused.is_reusable = self._intake.may_be_reused(image_id, refused)
            raise

    async def _ask_parent_or_origin(
        self, image_id: str, terms: Terms, timings: Timings, known: Record | Source | None, on_slow: OnSlow
    ) -> Delivered:
        if self._parent is not None:
            delivered = await self._parent.ask(image_id, terms, timings, known=known, on_slow=on_slow)
            if delivered is not None:
                return delivered
        origin = self._origins.find(image_id)
        async with origin.slot(on_slow) as slot:
            with timings.measure("origin"):
                fetched = await self._fetch_from(origin, image_id, terms, known, slot=slot)
            return await self._intake.take(image_id, fetched, timings)

    async def _fetch_from(
        self, origin: OriginClient, image_id: str, terms: Terms, known: Record | Source | None, *, slot: Slot
    ) -> Fetched:
        try:
            return await origin.fetch(
                image_id,
                etag=_etag(known),
                last_modified=_last_modified(known),
                passed_by=terms.passed_by,
                client=terms.fields,
                slot=slot,
            )
        except OriginRefused as refused:
            refused.fields = self._intake.limit_by_redirects(refused.fields)
            raise
        except FileTooLarge as error:
            fields = self._intake.limit_by_redirects(error.fields)
            with self._intake.set_error_lifetime(fields, self._intake.storage(image_id, fields)):
                raise

    def limit_by_redirects(self, fields: ResponseFields) -> ResponseFields:
        """Return the fields of a response, with its freshness limited by the redirects before it (RFC 9110 15.4)."""
        return self._intake.limit_by_redirects(fields)

    def storage(self, image_id: str, fields: ResponseFields) -> Storage:
        """Return whether and for how long a response may be stored (RFC 9111 3)."""
        return self._intake.storage(image_id, fields)


def _etag(known: Record | Source | None) -> str:
    return known.fields.etag if isinstance(known, Source) else "" if known is None else known.origin_etag


def _last_modified(known: Record | Source | None) -> str:
    fields = known.fields if isinstance(known, Source) else known
    return "" if fields is None else fields.passed.last_modified
