"""Answer a request from a stored record: with 304 Not Modified, with header fields alone, or with the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from service.cache.answer import Answer, Asked
from service.cache.picture_files import PictureFiles
from service.metrics.outcomes import FileSource, Outcome
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.demoted import is_generated
from service.records.latent_facts import facts_of, write_facts
from service.records.record import Record
from service.rules import response_age
from service.rules.conditional import Validators
from service.rules.lifetime_cap import cap_lifetime


class RecordAnswers:
    """Makes the answers of hits, and of misses whose fill has made a record."""

    def __init__(self, files: PictureFiles, *, generated_ttl_s: int, now: Callable[[], float]) -> None:
        """`generated_ttl_s` is the longest freshness lifetime of a generated picture for clients."""
        self._files = files
        self._generated_ttl_s = generated_ttl_s
        self._now = now

    async def answer(self, record: Record, asked: Asked, timings: Timings, *, outcome: Outcome) -> Answer:
        """Return an answer made from this record. Raises DamagedBitstream, CodecFailed or QueueFull."""
        wanted, now_s = asked.wanted, self._now()
        generated = is_generated(record, wanted.size_px)
        tag = self._files.entity_tag(record, wanted) if generated else self._current_tag(record, asked)
        # Decided before any decode: neither a 304 nor a HEAD needs the codec.
        not_modified = asked.conditions.is_not_modified(_validators(tag, record, by_date=not generated), now_s=now_s)
        made = None
        if asked.head:
            made = self._files.find(record, wanted)
        elif not not_modified:
            made = await self._files.make(record, wanted, timings)
        answer = Answer(
            outcome=outcome,
            media_type=wanted.media_type,
            body=None if made is None or asked.head else made.body,
            length_bytes=None if made is None else len(made.body),
            record=record,
            source=FileSource.NONE if made is None or asked.head else made.source,
            detail=Reason.MEMORY if made is not None and made.source is FileSource.MEMORY else None,
            not_modified=not_modified,
            entity_tag=tag,
            passed=record.passed,
            status=record.status,
            age=str(response_age.age_s(born_ms=record.born_ms, now_s=now_s)),
            ttl_s=response_age.remaining_s(born_ms=record.born_ms, lifetime_s=record.lifetime_s, now_s=now_s),
            latent_facts=_latent_facts(record, outcome) if wanted.is_latent else "",
            tags=record.tags if wanted.is_latent else (),
        )
        return self._as_generated(answer, now_s) if generated else answer

    def _as_generated(self, answer: Answer, now_s: float) -> Answer:
        """Mark an answer as generated, and let clients keep it for a short time only."""
        assert answer.ttl_s is not None, "the picture is from a record"
        ttl_s = min(answer.ttl_s, self._generated_ttl_s)
        passed = cap_lifetime(answer.passed, until_s=int(answer.age) + max(0, ttl_s), now_s=now_s)
        return replace(answer, is_generated=True, passed=passed, ttl_s=ttl_s)

    def _current_tag(self, record: Record, asked: Asked) -> str:
        """Return the entity tag of the record's picture, or of the preview if If-None-Match names the preview.

        A preview of the same source file is equivalent (RFC 9110 8.8.1, weak validators), so the client may keep it.
        """
        tag = self._files.entity_tag(record, asked.wanted)
        if asked.conditions.if_none_match is None or asked.wanted.is_latent or asked.conditions.names(tag):
            return tag
        preview_tag = self._files.source_tag(record.source_digest, asked.wanted)
        return preview_tag if asked.conditions.names(preview_tag) else tag


def _validators(tag: str, record: Record, *, by_date: bool) -> Validators:
    """Return the validators of the record's picture; with `by_date` off, only its entity tag.

    A generated picture has the dates of the origin's picture, but is not that picture.
    """
    if not by_date:
        return Validators(entity_tag=tag)
    return Validators(entity_tag=tag, last_modified=record.passed.last_modified, date=record.passed.date)


def _latent_facts(record: Record, outcome: Outcome) -> str:
    return write_facts(facts_of(record, is_stale=outcome is Outcome.STALE))
