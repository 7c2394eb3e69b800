"""Answer a request with the origin's picture, resized or unchanged, without storing it and without the codec.

A picture that the origin forbids to store has a hit-for-miss mark for a minute (Varnish's term). Each request then
fetches for itself, instead of waiting for a fill whose result it could not use.

A child edge that asked for a latent gets the same as a client: the 344 px picture as lossless PNG (`fmt=png`), or the
origin's file if the origin sent `no-transform`. If the parent of this edge sent a latent, the child gets that latent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from service.cache.answer import Answer, Asked
from service.cache.picture_files import PictureFiles
from service.errors import EdgeError, note_forward_reason
from service.metrics.outcomes import Outcome
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.latent_facts import write_facts
from service.records.lease import Leases
from service.records.lookup import Lookup
from service.records.record import ETAG_CAP_BYTES, fits
from service.rendition import MEDIA_TYPES
from service.rules import response_age
from service.rules.conditional import Validators
from service.rules.negotiation import Wanted
from service.rules.redirects import tag_for_clients
from service.upstream.source import Original, Source
from service.upstream.upstream import Upstream


class Bypass:
    """Fetches pictures for requests that store nothing, and makes the answers from the fetched files."""

    def __init__(self, upstream: Upstream, leases: Leases, files: PictureFiles, *, now: Callable[[], float]) -> None:
        self._upstream = upstream
        self._leases = leases
        self._files = files
        self._now = now

    async def fetch(self, asked: Asked, timings: Timings, *, forwarded: Reason) -> Source:
        """Fetch the picture for a request that stores nothing. Raises OriginError, SourceError or another EdgeError."""
        with note_forward_reason(forwarded):
            return await self._upstream.fetch(asked.wanted.image_id, asked.terms, timings)

    async def fetch_hit_for_miss(self, asked: Asked, lookup: Lookup, timings: Timings, *, forwarded: Reason) -> Source:
        """Fetch a picture that has a hit-for-miss mark. Clears the mark on an error, or if the answer may be stored."""
        try:
            source = await self.fetch(asked, timings, forwarded=forwarded)
        except EdgeError:  # on CancelledError the mark stays: a client's disconnect is no error of the picture
            await self._leases.clear_hit_for_miss(lookup.lease)
            raise
        if source.storage.obstacle is None:
            await self._leases.clear_hit_for_miss(lookup.lease)
        return source

    async def answer(self, source: Source, asked: Asked, timings: Timings) -> Answer:
        """Return an answer made from a fetched picture, which is resized unless the origin sent no-transform."""
        if source.prepared.original is not None:
            return self._answer_unchanged(source, source.prepared.original, asked)
        wanted = _lossless(asked.wanted, source) if asked.wanted.is_latent else asked.wanted
        tag = self._files.source_tag(source.prepared.source_digest, wanted)
        not_modified = self._is_not_modified(source, tag, asked)
        made = None if not_modified or asked.head else await self._write(source, wanted, timings)
        latent = source.prepared.bitstream if wanted.is_latent else None
        answer = Answer(
            outcome=Outcome.BYPASS,
            media_type=wanted.media_type,
            body=made,
            length_bytes=_length_bytes(made if latent is None else latent),
            not_modified=not_modified,
            entity_tag=tag,
            passed=source.fields.passed,
            age=source.fields.age,
            status=source.fields.status,
        )
        if not asked.wanted.is_latent:
            return answer
        return replace(answer, latent_facts=_facts(source), tags=source.fields.tags)

    async def _write(self, source: Source, wanted: Wanted, timings: Timings) -> bytes:
        prepared = source.prepared
        if wanted.is_latent:
            assert prepared.bitstream is not None, "_lossless keeps a latent only if there is one"
            return prepared.bitstream
        return await self._files.write_source(prepared, wanted, timings)

    async def answer_later(self, source: Source, asked: Asked, timings: Timings) -> Answer:
        """Return `answer` with the picture's present age, for a request after the origin's response (RFC 9111 5.1)."""
        born_ms, now_s = response_age.born_ms(source.fields), self._now()
        return replace(
            await self.answer(source, asked, timings),
            age=str(response_age.age_s(born_ms=born_ms, now_s=now_s)),
            ttl_s=response_age.remaining_s(born_ms=born_ms, lifetime_s=source.storage.lifetime_s, now_s=now_s),
        )

    def _answer_unchanged(self, source: Source, original: Original, asked: Asked) -> Answer:
        """Return the origin's file and entity tag: no-transform forbids another size or type (RFC 9110 7.7)."""
        fields, tag = source.fields, tag_for_clients(source.fields.etag)
        not_modified = self._is_not_modified(source, tag, asked)
        return Answer(
            outcome=Outcome.BYPASS,
            media_type=original.media_type,
            body=None if not_modified or asked.head else original.body,
            length_bytes=len(original.body),
            not_modified=not_modified,
            entity_tag=tag,
            passed=fields.passed,
            age=fields.age,
            tags=fields.tags if asked.wanted.is_latent else (),  # a child edge may store the file, to be purged by tag
            status=fields.status,
        )

    def _is_not_modified(self, source: Source, entity_tag: str, asked: Asked) -> bool:
        passed = source.fields.passed
        current = Validators(entity_tag=entity_tag, last_modified=passed.last_modified, date=passed.date)
        return asked.conditions.is_not_modified(current, now_s=self._now())


def _length_bytes(body: bytes | None) -> int | None:
    return None if body is None else len(body)


def _lossless(wanted: Wanted, source: Source) -> Wanted:
    """Return a child's request for a latent unchanged if the source is a latent, else the request for lossless PNG."""
    if source.prepared.bitstream is not None:
        return wanted
    return replace(wanted, media_type=MEDIA_TYPES["png"])


def _facts(source: Source) -> str:
    """Return the header field by which a child makes the same entity tags and validates the file with the origin."""
    fields = source.fields
    etag = fields.etag if fits(fields.etag, ETAG_CAP_BYTES) else ""
    return write_facts(replace(source.prepared.facts, origin_etag=etag, is_stale=fields.is_stale))
