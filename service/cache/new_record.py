"""Make a record from a fetched picture: its latent, the origin's header fields, and the dates. No I/O."""

from __future__ import annotations

from dataclasses import replace

from models.bitstream import parse
from service.records.latent_facts import facts_of
from service.records.record import ETAG_CAP_BYTES, Record, fits
from service.rules import response_age
from service.upstream.source import Latent, Source


def make_record(
    delivered: Source | Latent, bitstream: bytes, *, image_id: str, generation: int, now_s: float
) -> Record:
    """Return a new record. `generation` is the number of the latest purge before the request to the origin."""
    fields, storage, header = delivered.fields, delivered.storage, parse(bitstream)
    facts = delivered.facts if isinstance(delivered, Latent) else delivered.prepared.facts
    return Record(
        bitstream=bitstream,
        born_ms=response_age.born_ms(fields),
        filled_ms=round(now_s * 1000),
        lifetime_s=storage.lifetime_s,
        stale_while_revalidate_s=storage.stale_while_revalidate_s,
        stale_if_error_s=storage.stale_if_error_s,
        source_digest=facts.source_digest,
        source_bytes=facts.source_bytes,
        conventional_high_bytes=facts.conventional_high_bytes,
        conventional_medium_bytes=facts.conventional_medium_bytes,
        stream_id=header.stream_id,
        quality=header.quality,  # from the bitstream, because for a target score the codec chooses the quality
        refinement=facts.refinement,
        status=fields.status,
        origin_etag=fields.etag if fits(fields.etag, ETAG_CAP_BYTES) else "",
        passed=fields.passed,
        generation=generation,
        tags=fields.tags,
        image_id=image_id,
    )


def is_the_same(delivered: Source | Latent, known: Record) -> bool:
    """Return whether the origin or the parent sent the file of `known` again, or the same latent of that file."""
    if delivered.storage.obstacle is not None:
        return False
    if isinstance(delivered, Source):
        return delivered.prepared.source_digest == known.source_digest
    facts = replace(delivered.facts, origin_etag=known.origin_etag, is_stale=False)
    return (delivered.bitstream, facts) == (known.bitstream, facts_of(known))
