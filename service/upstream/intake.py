"""Prepare a response of the origin or the parent for the store: decode and resize a picture, or check a latent.

The response is not trusted: the format of a file is detected from its bytes, and a latent is decoded as a check. This
file sends no requests.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from models.bitstream import FLAG_MEDIUM, BitstreamError, ForeignBitstream, parse
from models.config import HIGH_PX, MEDIUM_PX
from models.picture_array import Pixels
from service.errors import DamagedBitstream, DamagedLatent, ForeignLatent, SourceError
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.latent_facts import LatentFacts, read_facts
from service.records.record import all_fit, source_digest
from service.records.renewal import Confirmed
from service.render import image_file
from service.render.picture_codec import PictureCodec
from service.rules import freshness, response_age
from service.rules.cache_tags import tags_fit
from service.rules.freshness import FreshnessRules, Storage
from service.rules.freshness_trace import FreshnessTrace
from service.rules.negotiation import LATENT_MEDIA_TYPE
from service.rules.origin_refused import OriginRefused
from service.rules.redirects import apply_redirects
from service.rules.response_fields import ResponseFields
from service.upstream.fetched import Fetched
from service.upstream.source import Latent, Original, Prepared, Source
from service.upstream.source_reader import SourceReader

Delivered = Source | Latent | Confirmed


class Intake:
    """Checks and prepares responses from upstream."""

    def __init__(
        self,
        rules: FreshnessRules,
        *,
        worker: PictureCodec,
        reader: SourceReader,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._rules = rules
        self._worker = worker
        self._reader = reader
        self._draw = draw

    async def take(self, image_id: str, fetched: Fetched, timings: Timings) -> Delivered:
        """Return the prepared picture or latent, or for a 304 its fields, which update the stored picture.

        Raises a SourceError, an UnusableLatent, QueueFull or CodecFailed.
        """
        fields, body = response_age.with_date(fetched.fields), fetched.body
        if body is None:
            return Confirmed(fields)
        fields = self.limit_by_redirects(fields)
        storage = self.storage(image_id, fields)
        if fetched.media_type == LATENT_MEDIA_TYPE:
            with timings.measure("latent"):
                facts = read_facts(fetched.latent_facts)
                return Latent(fields, body, await self._check(body, facts), storage)
        with timings.measure("source"), self.set_error_lifetime(fields, storage):
            return Source(fields, await self._prepare(body, fields), storage)

    async def as_source(self, delivered: Delivered) -> Source:
        """Return the picture as pixels in both sizes, to answer a request without a record. A latent is decoded.

        Raises DamagedLatent, QueueFull or CodecFailed.
        """
        assert not isinstance(delivered, Confirmed), "the request had no conditions, so there is no 304"
        if isinstance(delivered, Source):
            return delivered
        bitstream, facts = delivered.bitstream, delivered.facts
        prepared = Prepared(
            source_digest=facts.source_digest,
            source_bytes=facts.source_bytes,
            high=await self._decode(bitstream, HIGH_PX),
            medium=await self._decode(bitstream, MEDIUM_PX),
            conventional_high_bytes=facts.conventional_high_bytes,
            conventional_medium_bytes=facts.conventional_medium_bytes,
            media_type=LATENT_MEDIA_TYPE,
            bitstream=bitstream,
            refinement=facts.refinement,
        )
        return Source(delivered.fields, prepared, delivered.storage)

    def limit_by_redirects(self, fields: ResponseFields) -> ResponseFields:
        """Return the fields of a response, with its freshness limited by the redirects before it (RFC 9110 15.4)."""
        return apply_redirects(fields, self._rules)

    def storage(self, image_id: str, fields: ResponseFields) -> Storage:
        """Return whether and for how long a response may be stored (RFC 9111 3). Log the decision at debug level."""
        draw = self._draw()
        verdict = self._verdict(fields, draw)
        _trace(image_id, FreshnessTrace(fields, self._rules, draw, verdict))
        return verdict

    def _verdict(self, fields: ResponseFields, draw: float) -> Storage:
        if not all_fit(fields.passed):
            return Storage(lifetime_s=0, obstacle=Reason.LONG_FIELD)
        if not tags_fit(fields.tags):
            return Storage(lifetime_s=0, obstacle=Reason.TOO_MANY_TAGS)
        storage = freshness.storage(fields, self._rules, draw=draw)
        return replace(storage, lifetime_s=0) if fields.is_stale else storage

    def may_be_reused(self, image_id: str, refused: OriginRefused) -> bool:
        """Return whether an error of the origin may also be sent to other requests (RFC 9111 4).

        Log the decision at debug level.
        """
        fields = response_age.with_date(replace(refused.fields, status=refused.status))
        lifetime_s = freshness.negative_lifetime_s(refused.status, fields, self._rules)
        _trace(image_id, FreshnessTrace(fields, self._rules, 0.0, Storage(lifetime_s)))
        return lifetime_s > response_age.initial_age_s(fields)

    @contextmanager
    def set_error_lifetime(self, fields: ResponseFields, storage: Storage) -> Iterator[None]:
        """Set the lifetime and Vary of every SourceError that this block raises, from the fields of the response."""
        try:
            yield
        except SourceError as error:
            error.lifetime_s = freshness.source_error_lifetime_s(error.status, storage, fields, self._rules)
            error.vary = fields.passed.vary
            raise

    async def _prepare(self, body: bytes, fields: ResponseFields) -> Prepared:
        prepared = await self._reader.prepare(body)
        if not freshness.may_be_transformed(fields.passed):
            return replace(prepared, original=Original(body, prepared.media_type))
        return prepared

    async def _check(self, body: bytes, facts: LatentFacts | None) -> LatentFacts:
        """Decode a latent to check it. Return `facts`, or measured facts if it is None. Raises an UnusableLatent."""
        self._check_kind(body)
        # Decoding the smaller size is enough, because the checksum covers all symbols. It takes about 10 ms, compared
        # to 62 ms for an encode.
        medium = await self._decode(body, MEDIUM_PX)
        if facts is None:
            facts = await self._measure_facts(body, high=await self._decode(body, HIGH_PX), medium=medium)
        return facts

    def _check_kind(self, body: bytes) -> None:
        try:
            bitstream = parse(body)
        except ForeignBitstream as error:
            raise ForeignLatent(f"this release cannot decode the latent: {error}") from error
        except BitstreamError as error:
            raise DamagedLatent(f"the latent is damaged: {error}") from error
        if bitstream.flags & FLAG_MEDIUM or bitstream.stream_id not in self._worker.readable:
            raise ForeignLatent(
                f"this edge cannot decode a latent of stream id {bitstream.stream_id.hex()} and flags {bitstream.flags}"
            )

    async def _decode(self, bitstream: bytes, size_px: int) -> Pixels:
        try:
            return (await self._worker.decode(bitstream, size_px=size_px)).pixels
        except DamagedBitstream as error:  # CodecFailed is not translated, because it is no fault of the latent
            raise DamagedLatent(f"the latent is damaged: {error}") from error

    async def _measure_facts(self, body: bytes, *, high: Pixels, medium: Pixels) -> LatentFacts:
        """Return facts measured from a latent that came without any, such as a file of a static origin."""
        return LatentFacts(
            source_digest=source_digest(body),
            source_bytes=len(body),
            conventional_high_bytes=await self._reader.run_on_thread(lambda: image_file.conventional_bytes(high)),
            conventional_medium_bytes=await self._reader.run_on_thread(lambda: image_file.conventional_bytes(medium)),
        )


def _trace(image_id: str, trace: FreshnessTrace) -> None:
    logging.getLogger(__name__).debug("freshness of %r: %s", image_id, trace)
