"""Prepares an answer of the origin or the parent for the store: reads and resizes a picture, checks a latent.

Nothing is believed: a file's format is sniffed, and a latent must decode with the weights in use. Sends no requests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

from models.bitstream import BitstreamError, ForeignBitstream, parse
from models.config import HIGH_PX, MEDIUM_PX
from models.picture_array import Pixels
from service.errors import DamagedBitstream, DamagedLatent, ForeignLatent
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.latent_facts import LatentFacts, read_facts
from service.records.record import all_fit, source_digest
from service.records.renewal import Confirmed
from service.render import image_file
from service.render.image_file import ImageLimits
from service.render.picture_codec import PictureCodec
from service.rules import freshness
from service.rules.cache_tags import tags_fit
from service.rules.freshness import FreshnessRules, Storage
from service.rules.negotiation import LATENT_MEDIA_TYPE
from service.rules.origin_refused import OriginRefused
from service.rules.redirects import apply_redirects
from service.rules.response_fields import ResponseFields
from service.upstream.origin_client import Fetched
from service.upstream.source import Latent, Prepared, Source, prepare

Result = TypeVar("Result")
Delivered = Source | Latent | Confirmed


class Intake:
    """Checks and prepares answers from upstream."""

    def __init__(
        self,
        rules: FreshnessRules,
        *,
        image_limits: ImageLimits,
        worker: PictureCodec,
        threads: Executor,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._rules = rules
        self._image_limits = image_limits
        self._worker = worker
        self._threads = threads
        self._draw = draw

    async def take(self, fetched: Fetched, timings: Timings) -> Delivered:
        """Return the prepared picture or latent. Raises a SourceError, an UnusableLatent, QueueFull or CodecFailed."""
        fields, body = freshness.with_date(fetched.fields), fetched.body
        if body is None:
            return Confirmed(fields)
        fields = self.settled(fields)
        if fetched.media_type == LATENT_MEDIA_TYPE:
            with timings.measure("latent"):
                return await self._latent(body, fields, read_facts(fetched.latent_facts))
        with timings.measure("source"):
            return await self._source(body, fields)

    async def as_source(self, delivered: Delivered) -> Source:
        """Return the pixels, for requests that are answered without a record."""
        assert not isinstance(delivered, Confirmed), "nothing was asked that a 304 could answer"
        if isinstance(delivered, Source):
            return delivered
        bitstream, facts = delivered.bitstream, delivered.facts
        prepared = Prepared(
            source_digest=facts.source_digest,
            source_bytes=facts.source_bytes,
            high=await self._decoded(bitstream, HIGH_PX),
            medium=await self._decoded(bitstream, MEDIUM_PX),
            conventional_high_bytes=facts.conventional_high_bytes,
            conventional_medium_bytes=facts.conventional_medium_bytes,
            bitstream=bitstream,
            refinement=facts.refinement,
        )
        return Source(delivered.fields, prepared, delivered.storage)

    def settled(self, fields: ResponseFields) -> ResponseFields:
        """Return the fields of an answer, limited by the redirects that led to it."""
        return apply_redirects(fields, self._rules)

    def storage(self, fields: ResponseFields) -> Storage:
        """Return whether a record of this answer is allowed and has room for its fields, and its lifetime."""
        if not all_fit(fields.passed):
            return Storage(lifetime_s=0, obstacle=Reason.LONG_FIELD)
        if not tags_fit(fields.tags):
            return Storage(lifetime_s=0, obstacle=Reason.TOO_MANY_TAGS)
        storage = freshness.storage(fields, self._rules, draw=self._draw())
        return replace(storage, lifetime_s=0) if fields.is_stale else storage

    def may_be_reused(self, refused: OriginRefused) -> bool:
        """Whether an error of the origin may answer more than the request that led to it (RFC 9111 4)."""
        fields = freshness.with_date(refused.fields)
        return freshness.negative_lifetime_s(refused.status, fields, self._rules) > freshness.initial_age_s(fields)

    async def _source(self, body: bytes, fields: ResponseFields) -> Source:
        keep = not freshness.may_be_transformed(fields.passed)
        prepared = await self._on_thread(lambda: prepare(body, self._image_limits, keep=keep))
        return Source(fields, prepared, self.storage(fields))

    async def _latent(self, body: bytes, fields: ResponseFields, facts: LatentFacts | None) -> Latent:
        self._check_kind(body)
        # The lightest picture proves as much as any: the checksum is over the symbols. About 10 ms; an encode takes 62.
        medium = await self._decoded(body, MEDIUM_PX)
        if facts is None:
            facts = await self._measured(body, high=await self._decoded(body, HIGH_PX), medium=medium)
        return Latent(fields, body, facts, self.storage(fields))

    def _check_kind(self, body: bytes) -> None:
        try:
            bitstream = parse(body)
        except ForeignBitstream as error:
            raise ForeignLatent(str(error)) from error
        except BitstreamError as error:
            raise DamagedLatent(str(error)) from error
        if bitstream.flags or bitstream.stream_id not in self._worker.readable:
            raise ForeignLatent(f"stream id {bitstream.stream_id.hex()}, flags {bitstream.flags}")

    async def _decoded(self, bitstream: bytes, size_px: int) -> Pixels:
        try:
            return (await self._worker.decode(bitstream, size_px=size_px)).pixels
        except DamagedBitstream as error:  # CodecFailed is the fault of this edge
            raise DamagedLatent(str(error)) from error

    async def _measured(self, body: bytes, *, high: Pixels, medium: Pixels) -> LatentFacts:
        """Of a latent that comes alone, such as a file of a static origin: of what it decodes to."""
        return LatentFacts(
            source_digest=source_digest(body),
            source_bytes=len(body),
            conventional_high_bytes=await self._on_thread(lambda: image_file.conventional_bytes(high)),
            conventional_medium_bytes=await self._on_thread(lambda: image_file.conventional_bytes(medium)),
        )

    async def _on_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
