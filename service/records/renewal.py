"""Update the record of a picture that the origin confirmed with a 304: the same latent with new dates. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from service.records.record import ETAG_CAP_BYTES, Record, fits
from service.rules.freshness import Storage
from service.rules.pass_on import update
from service.rules.response_age import born_ms
from service.rules.response_fields import PASSED_ON, ResponseFields


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A 304 of the origin, which says that the stored picture has not changed."""

    fields: ResponseFields


def merge(known: Record, fields: ResponseFields) -> ResponseFields:
    """Return the stored fields updated by the fields of a 304 (RFC 9111 3.2)."""
    stored = replace(fields, status=known.status, passed=known.passed, etag=known.origin_etag, tags=known.tags)
    return merge_fields(stored, fields)


def merge_fields(known: ResponseFields, fields: ResponseFields) -> ResponseFields:
    """Return the fields of a response in memory, updated by the fields of a 304 (RFC 9111 3.2)."""
    said = {name: new for name in PASSED_ON if (new := getattr(fields.passed, name))}
    passed = replace(known.passed, **said, others=update(known.passed.others, fields.passed.others))
    etag, tags = fields.etag or known.etag, fields.tags or known.tags
    return replace(fields, status=known.status, passed=passed, etag=etag, tags=tags)


def renew(known: Record, fields: ResponseFields, storage: Storage, *, generation: int) -> Record:
    """Return the record with the dates and fields of a 304, and the latest purge generation when it was requested."""
    return replace(
        known,
        born_ms=born_ms(fields),
        lifetime_s=storage.lifetime_s,
        stale_while_revalidate_s=storage.stale_while_revalidate_s,
        stale_if_error_s=storage.stale_if_error_s,
        status=fields.status,
        origin_etag=fields.etag if fits(fields.etag, ETAG_CAP_BYTES) else "",
        passed=fields.passed,
        generation=generation,
        tags=fields.tags,
    )


def has_better_latent(now: Record, known: Record) -> bool:
    """Return whether `now` is the `known` record with a newer latent, from a search or a re-encode."""
    return now.source_digest == known.source_digest and now.generation == known.generation


def with_latent(record: Record, better: Record) -> Record:
    """Return the record with the latent of another one."""
    return replace(
        record,
        bitstream=better.bitstream,
        stream_id=better.stream_id,
        quality=better.quality,
        refinement=better.refinement,
        filled_ms=better.filled_ms,
    )
