"""An answer made straight from the source: resized, or as it is. What is not stored takes no encode and no decode."""

from __future__ import annotations

from collections.abc import Callable

from service.cache.answer import Answer, Asked
from service.cache.renditions import Renditions
from service.metrics.outcomes import Outcome
from service.metrics.timings import Timings
from service.rules.conditional import Validators
from service.rules.redirects import tag_for_clients
from service.upstream.source import Original, Source


class Bypass:
    """Whoever asks says why there is no record."""

    def __init__(self, renditions: Renditions, *, now: Callable[[], float]) -> None:
        self._renditions = renditions
        self._now = now

    async def answer(self, source: Source, asked: Asked, timings: Timings) -> Answer:
        """Raises CodecFailed or QueueFull."""
        if source.prepared.original is not None:
            return self._as_it_is(source, source.prepared.original, asked)
        tag = self._renditions.source_tag(source.prepared.source_digest, asked.wanted)
        not_modified, body = self._not_modified(source, tag, asked), None
        if not (not_modified or asked.head):
            body = await self._renditions.file(source.prepared.of_size(asked.wanted.size_px), asked.wanted, timings)
        return Answer(
            outcome=Outcome.BYPASS,
            media_type=asked.wanted.media_type,
            body=body,
            not_modified=not_modified,
            entity_tag=tag,
            passed=source.fields.passed,
            age=source.fields.age,
            status=source.fields.status,
        )

    def _as_it_is(self, source: Source, original: Original, asked: Asked) -> Answer:
        """RFC 9110 7.7, no-transform: neither another size nor another media type, and the origin's own entity tag."""
        fields, tag = source.fields, tag_for_clients(source.fields.etag)
        not_modified = self._not_modified(source, tag, asked)
        return Answer(
            outcome=Outcome.BYPASS,
            media_type=original.media_type,
            body=None if not_modified or asked.head else original.body,
            not_modified=not_modified,
            entity_tag=tag,
            passed=fields.passed,
            age=fields.age,
            tags=fields.tags if asked.wanted.is_latent else (),  # the file, for an edge that may store it
            status=fields.status,
        )

    def _not_modified(self, source: Source, entity_tag: str, asked: Asked) -> bool:
        passed = source.fields.passed
        current = Validators(entity_tag=entity_tag, last_modified=passed.last_modified, date=passed.date)
        return asked.conditions.not_modified(current, now_s=self._now())
