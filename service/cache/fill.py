"""The work of one miss: origin -> picture -> latent -> record in the store. Runs inside a flight; answers nobody.

A fill has these steps in this order; whoever waits for it wakes only after the last:
take the lease, look again, fetch, read and resize, encode, store. Of a stale record the origin is asked whether it is
still good: if so, or if the file is the same, it is stored again under new dates and nothing is encoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from models.bitstream import parse
from service.cache import freshness
from service.cache.encoder import Encoder
from service.cache.filled import Filled, Show, Work
from service.cache.freshness import Storage
from service.cache.hold_off import HoldOff
from service.cache.intake import Delivered, without_file
from service.cache.latent_facts import LatentFacts, facts_of
from service.cache.lease import Lease, Leases, Standing
from service.cache.origin_fields import OriginFields
from service.cache.record import ETAG_CAP_BYTES, Record, fits
from service.cache.renewal import Confirmed, merged, renewed
from service.cache.shelf import Shelf
from service.cache.source import Latent, Source, Terms
from service.cache.sources import Sources
from service.cache.staleness import Use, may_stand_in, use_of
from service.errors import OriginError, OriginRefused, QueueFull, RecordError, StoreUnavailable
from service.timings import Timings


class Filler:
    """Fills the store, one picture at a time."""

    def __init__(
        self,
        shelf: Shelf,
        leases: Leases,
        sources: Sources,
        *,
        encoder: Encoder,
        hold_off: HoldOff,
        now: Callable[[], float],
    ) -> None:
        self._shelf = shelf
        self._leases = leases
        self._sources = sources
        self._encoder = encoder
        self._hold_off = hold_off
        self._now = now

    def key(self, image_id: str) -> bytes:
        """Where the store holds this picture."""
        return self._shelf.key(image_id)

    async def look(self, image_id: str) -> Record | None:
        """A record that can be used now. Raises StoreUnavailable, RecordError, or the error that is remembered."""
        return await self._shelf.look(image_id)

    def use_of(self, record: Record, image_id: str) -> Use:
        """How this record may be used now."""
        return use_of(record, now_s=self._now(), held_off=self._hold_off.holds(image_id))

    @property
    def shows(self) -> bool:
        """Whether a fill shows what it brings before it is encoded."""
        return self._encoder.source_first

    def note(self, image_id: str) -> None:
        """Someone asked for a picture that is not there, or not good."""
        self._encoder.note(image_id)

    async def fill(
        self, image_id: str, terms: Terms, *, instead_of: Record | None = None, show: Show | None = None
    ) -> Filled:
        """The whole miss. `instead_of` is a record that turned out to be unusable. Raises what the client is told.

        With `show`, the picture is shown as soon as it is there, and encoded behind those who have seen it.
        """
        line = self._leases.line(self._shelf.lease_key(image_id))
        while True:
            async with line.lease() as lease:
                known = await self._look_again(image_id)
                if known == instead_of:
                    known = None
                if known is not None and self._is_good(known, lease):
                    return Filled(Timings(), record=known, found=True, waited=line.waited)
                if lease.may_fill:
                    return await self._filled(Work(image_id, terms, lease, show, was_stale=known is not None), known)
            await line.wait(lease)

    async def fetch(self, image_id: str, terms: Terms, timings: Timings) -> Source:
        """The picture as the origin has it, for one that nothing is stored of."""
        return await self._sources.fetch(image_id, terms, timings)

    async def is_passed(self, image_id: str) -> bool:
        """Whether everybody is to `fetch_passed` it for themselves at present."""
        return await self._leases.is_passed(self._shelf.lease_key(image_id))

    async def fetch_passed(self, image_id: str, terms: Terms, timings: Timings) -> Source:
        """Until the origin says something else of it."""
        source = None
        try:
            source = await self.fetch(image_id, terms, timings)
        finally:
            if source is None or source.storage.obstacle is None:
                await self._leases.no_longer_passed(self._shelf.lease_key(image_id))
        return source

    def _is_good(self, known: Record, lease: Lease) -> bool:
        use = use_of(known, now_s=self._now())
        # What may be shown during a validation is shown during that of another process too.
        return use is Use.FRESH or (use is Use.WHILE_REVALIDATING and lease.standing is Standing.ANOTHERS)

    async def _filled(self, work: Work, known: Record | None) -> Filled:
        if known is None:
            return await self._new(work, await self._fetched(work))
        try:
            answered = await self._sources.ask(work.image_id, work.terms, work.timings, known)
        except OriginError as error:
            return self._failed(known, error, work)
        if isinstance(answered, Confirmed):
            fields = merged(known, answered.fields)
            confirmed = await self._confirmed(work, known, fields, self._sources.storage(fields))
            return replace(confirmed, origin_status=HTTPStatus.NOT_MODIFIED)
        if _is_the_same(answered, known):
            confirmed = await self._confirmed(work, known, answered.fields, answered.storage)
            return replace(confirmed, origin_status=HTTPStatus.OK)
        return await self._new(work, answered)

    async def _fetched(self, work: Work) -> Delivered:
        try:
            return await self._sources.ask(work.image_id, work.terms, work.timings)
        except OriginRefused as refused:
            await self._shelf.remember(work.image_id, refused, under=work.lease.writes)
            raise

    async def _new(self, work: Work, delivered: Delivered) -> Filled:
        assert not isinstance(delivered, Confirmed), "nothing was known that could be confirmed"
        if delivered.storage.obstacle is not None:
            work.lease.pass_on()
            return work.brought(source=await self._sources.as_source(delivered, work.terms))
        if isinstance(delivered, Latent):
            record = self._record(delivered, delivered.facts, delivered.bitstream)
            return await self._put(work.brought(latent=delivered), record, work)
        if not (work.was_stale or self._encoder.admits(work.image_id)):
            return replace(work.brought(source=delivered), skipped="not-admitted")
        if work.show is None:
            return await self._encoded(work, without_file(delivered))
        return await self._encoded_behind(work, without_file(delivered), work.show)

    async def _encoded(self, work: Work, source: Source) -> Filled:
        with work.timings.measured("encode"):
            bitstream = await self._encoder.encode(source.prepared.high)
        return await self._put(
            work.brought(source=source), self._record(source, source.prepared.facts, bitstream), work
        )

    async def _encoded_behind(self, work: Work, source: Source, show: Show) -> Filled:
        show(work.brought(source=source))
        behind = replace(work, timings=Timings())
        filled = replace(behind.brought(source=source), behind=True)
        try:
            with behind.timings.measured("encode"):
                bitstream = await self._encoder.encode_behind(source.prepared.high)
        except QueueFull:
            return replace(filled, skipped="queue-full")
        return await self._put(filled, self._record(source, source.prepared.facts, bitstream), work)

    async def _put(self, filled: Filled, record: Record, work: Work) -> Filled:
        stored = await self._shelf.put(work.image_id, record, under=work.lease.writes)
        return replace(filled, record=record, stored=stored)

    def _failed(self, known: Record, error: OriginError, work: Work) -> Filled:
        """RFC 5861 4: what is stale is better than an error, but a picture that is gone is gone."""
        status = error.status if isinstance(error, OriginRefused) else None
        if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise error
        self._hold_off.begin(work.image_id)
        if not may_stand_in(known, now_s=self._now()):
            raise error
        return Filled(work.timings, record=known, was_stale=True, failed=True, origin_status=status)

    async def _confirmed(self, work: Work, known: Record, fields: OriginFields, storage: Storage) -> Filled:
        """The latent is as good as before: its dates are renewed, and nothing is encoded."""
        record = renewed(known, fields, storage)
        stored = storage.obstacle is None and await self._shelf.renew(work.image_id, known, record)
        return Filled(work.timings, record=record, stored=stored, was_stale=True)

    async def _look_again(self, image_id: str) -> Record | None:
        try:
            return await self._shelf.look(image_id)
        except (StoreUnavailable, RecordError):
            return None  # whoever looked first told of it

    def _record(self, delivered: Source | Latent, facts: LatentFacts, bitstream: bytes) -> Record:
        fields, storage = delivered.fields, delivered.storage
        return Record(
            bitstream=bitstream,
            born_ms=freshness.born_ms(fields),
            filled_ms=round(self._now() * 1000),
            lifetime_s=storage.lifetime_s,
            stale_while_revalidate_s=storage.stale_while_revalidate_s,
            stale_if_error_s=storage.stale_if_error_s,
            source_digest=facts.source_digest,
            source_bytes=facts.source_bytes,
            conventional_high_bytes=facts.conventional_high_bytes,
            conventional_medium_bytes=facts.conventional_medium_bytes,
            stream_id=self._encoder.stream_id,
            quality=parse(bitstream).quality,  # a target score leaves it to the codec
            refinement=facts.refinement,
            origin_etag=fields.etag if fits(fields.etag, ETAG_CAP_BYTES) else "",
            passed=fields.passed,
        )


def _is_the_same(delivered: Source | Latent, known: Record) -> bool:
    """The same file: another latent of it is a better one."""
    if delivered.storage.obstacle is not None:
        return False
    if isinstance(delivered, Source):
        return delivered.prepared.source_digest == known.source_digest
    facts = replace(delivered.facts, origin_etag=known.origin_etag)
    return (delivered.bitstream, facts) == (known.bitstream, facts_of(known))
