"""Demoted records, which hold a medium latent in place of the high one. No I/O, no clock.

A medium latent takes fewer bytes. The picture of 172 px is decoded from it exactly as before, by a head of its own; the
picture of 344 px is generated. A demoted record is as any other: it has the dates, tags and purge generation of the
record that it replaced.
"""

from __future__ import annotations

from dataclasses import replace

from models.bitstream import BitstreamError, kind_of, parse
from models.config import MEDIUM_PX
from service.records.record import Record

MEDIUM = "medium"


def is_demoted(record: Record) -> bool:
    """Return whether the record holds a medium latent."""
    try:
        return kind_of(record.bitstream) == MEDIUM
    except BitstreamError:  # a damaged bitstream, which its decoder will report
        return False


def is_generated(record: Record, size_px: int) -> bool:
    """Return whether the record's picture of this size is generated: it is larger than its medium latent describes."""
    return size_px > MEDIUM_PX and is_demoted(record)


def demoted(record: Record, bitstream: bytes) -> Record:
    """Return the record with a medium latent in place of its high one."""
    header = parse(bitstream)
    return replace(record, bitstream=bitstream, stream_id=header.stream_id, quality=header.quality, refinement=0)
