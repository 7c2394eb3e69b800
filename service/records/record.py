"""The record of one picture in the store: a packed header and the bitstream, in a frame (`framing`). No I/O, no clock.

    frame 18 | kind 1, width 2, height 2 | fields and lengths | origin etag | what is passed on | tags | image id
             | bitstream

Kind is the kind of payload, width and height are in cells. So far there is one: a latent of 22 by 22 cells. Any other
was written by a newer release. Version 5 had neither, nor the key's digest in its frame. It is still read, so that an
upgrade does not empty a cache; everything is written as version 6.

Each length has a cap that is checked before it is used. A record is written and read as a whole: changing one field in
place would leave a wrong checksum, and after an eviction a fragment of a record.
"""

from __future__ import annotations

import hashlib
import struct
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from operator import gt

from models.config import GRID
from service.errors import DamagedRecord
from service.records.field_reader import FieldReader
from service.records.framing import Framing, newer
from service.rules.cache_tags import TAGS_CAP, tags_fit
from service.rules.response_fields import NOTHING, PASSED_ON, PassedOn

VERSION = 6
FRAMING = Framing(b"LEr", version=VERSION, previous_seals_magic=True)
LATENT = 0
PAYLOAD = struct.Struct(">BHH")
"""The kind, width and height in cells."""
SQUARE_LATENT = (LATENT, GRID, GRID)
"""The only payload that is written and read."""
# born_ms, filled_ms, lifetime_s, swr_s, sie_s, source digest, source bytes, conventional high and medium bytes,
# stream id, quality, refinement, generation, status, number of tags, lengths of the etag, of each field that is passed
# on and of the image id.
# An origin may claim an age that reaches back beyond the epoch, so born_ms has a sign.
FIXED = struct.Struct(">qQIII16sIII4sBHQHB7HH")

TAG = struct.Struct(">B")

# Caps (assumed): generous for what origins send; a record with all of them full is still below 64 KiB of header.
ETAG_CAP_BYTES = 512
PASSED_ON_CAPS_BYTES = {
    "cache_control": 512,
    "cdn_cache_control": 512,
    "expires": 64,
    "date": 64,
    "last_modified": 64,
    "vary": 128,
}
BITSTREAM_CAP_BYTES = 2**20 + 2**10
ID_CAP_BYTES = 4 * 512
"""Derived: an image id has at most 512 characters."""
REFINEMENT_CAP = 2**16 - 1
"""The most steps of search that the header holds. Two bytes, though one would do for most searches: the number is part
of the entity tag, so two searches of different length must never have the same one."""

DIGEST_BYTES = 16
_CAPS_BYTES = (ETAG_CAP_BYTES, *(PASSED_ON_CAPS_BYTES[name] for name in PASSED_ON), ID_CAP_BYTES)
KEY_PREFIX = b"p:"
LEASE_PREFIX = b"l:"
PURGE_MARK_PREFIX = b"u:"
GENERATIONS_PREFIX = b"g:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One picture in the store. Dates are milliseconds since the epoch."""

    bitstream: bytes
    born_ms: int
    """When the origin made the answer, as far as its Age and Date tell: age counts from here."""
    filled_ms: int
    lifetime_s: int
    stale_while_revalidate_s: int = 0
    stale_if_error_s: int = 0
    source_digest: bytes
    source_bytes: int
    conventional_high_bytes: int
    """The size of the high rendition as a JPEG file."""
    conventional_medium_bytes: int
    stream_id: bytes
    quality: int
    refinement: int = 0
    """How many steps of search the bitstream has taken. It is part of the entity tag: a search that starts from a
    stored record counts on, so that the tag changes with the bytes."""
    generation: int = 0
    """The latest purge of any kind before the origin was asked: see `purge_table`."""
    status: int = HTTPStatus.OK
    """The status with which the origin sent the picture, and with which it is shown."""
    origin_etag: str = ""
    passed: PassedOn = NOTHING
    tags: tuple[str, ...] = ()
    """The tags by which it is purged."""
    image_id: str = ""
    """The id under which the origin has the picture; empty in a record that was first written as version 4."""


# The same pictures are asked for again and again; an id has at most 512 characters.
@lru_cache(maxsize=4096)
def record_key(image_id: str, *, origin: str) -> bytes:
    """Return the picture's key. It depends on the origin too, because edges of two origins may share a store.

    A Redis Cluster hashes what is in braces, so the record and its lease are on the same machine. The digest is in
    base64: raw bytes could contain braces.
    """
    return KEY_PREFIX + b"{" + _name_digest(f"{origin}\0{image_id}") + b"}"


def lease_key(key: bytes) -> bytes:
    """Return the key of a record's lease."""
    return LEASE_PREFIX + key.removeprefix(KEY_PREFIX)


def purge_mark_key(key: bytes) -> bytes:
    """Return the key of the mark that a purge of this picture sets."""
    return PURGE_MARK_PREFIX + key.removeprefix(KEY_PREFIX)


def generations_key(origin: str) -> bytes:
    """Return the key of an origin's table of purges."""
    return GENERATIONS_PREFIX + _name_digest(origin)


def source_digest(source: bytes) -> bytes:
    """Return the digest that identifies a file of the origin."""
    return hashlib.blake2b(source, digest_size=DIGEST_BYTES).digest()


def fits(text: str, cap_bytes: int) -> bool:
    """Return whether a header value of the origin fits into a record."""
    return text.isascii() and len(text) <= cap_bytes


def all_fit(passed: PassedOn) -> bool:
    """Return whether a record has room for all fields that are passed on."""
    return all(fits(getattr(passed, name), cap_bytes) for name, cap_bytes in PASSED_ON_CAPS_BYTES.items())


def pack(record: Record, key: bytes) -> bytes:
    """Return the record as one string for the store; it can be read under this key alone."""
    _assert_caps(record)
    texts = [record.origin_etag, *(getattr(record.passed, name) for name in PASSED_ON)]
    image_id = record.image_id.encode()
    fixed = FIXED.pack(
        record.born_ms,
        record.filled_ms,
        record.lifetime_s,
        record.stale_while_revalidate_s,
        record.stale_if_error_s,
        record.source_digest,
        record.source_bytes,
        record.conventional_high_bytes,
        record.conventional_medium_bytes,
        record.stream_id,
        record.quality,
        record.refinement,
        record.generation,
        record.status,
        len(record.tags),
        *map(len, texts),
        len(image_id),
    )
    header = [PAYLOAD.pack(*SQUARE_LATENT), fixed, "".join(texts).encode("ascii"), *map(_pack_tag, record.tags)]
    return FRAMING.build(b"".join([*header, image_id, record.bitstream]), key)


def unpack(value: bytes, key: bytes) -> Record:
    """Return the record in the string under this key. Raises DamagedRecord, ForeignRecord or RecordOfOthers."""
    opened = FRAMING.open(value, key)
    reader = opened.reader
    if opened.version == FRAMING.version:
        _check_payload(reader, value)
    fields = reader.unpack(FIXED)
    tag_count, *lengths, id_bytes = fields[14:]
    if tag_count > TAGS_CAP or any(map(gt, fields[15:], _CAPS_BYTES)):
        raise DamagedRecord("a length above its cap")
    etag, *passed = map(reader.ascii, lengths)
    tags = tuple(_read_tag(reader) for _ in range(tag_count))
    if not tags_fit(tags):  # a record that was read can be written again, under new dates
        raise DamagedRecord("a tag that no picture can have")
    image_id = reader.utf8(id_bytes)
    bitstream = reader.rest()
    if not 0 < len(bitstream) <= BITSTREAM_CAP_BYTES:
        raise DamagedRecord("an impossible length of the bitstream")
    if not HTTPStatus.OK <= fields[13] < HTTPStatus.MULTIPLE_CHOICES:
        raise DamagedRecord("an impossible status of a picture")
    return Record(
        bitstream=bitstream,
        born_ms=fields[0],
        filled_ms=fields[1],
        lifetime_s=fields[2],
        stale_while_revalidate_s=fields[3],
        stale_if_error_s=fields[4],
        source_digest=fields[5],
        source_bytes=fields[6],
        conventional_high_bytes=fields[7],
        conventional_medium_bytes=fields[8],
        stream_id=fields[9],
        quality=fields[10],
        refinement=fields[11],
        generation=fields[12],
        status=fields[13],
        origin_etag=etag,
        passed=PassedOn(**dict(zip(PASSED_ON, passed, strict=True))),
        tags=tags,
        image_id=image_id,
    )


def _name_digest(name: str) -> bytes:
    return urlsafe_b64encode(hashlib.blake2b(name.encode(), digest_size=DIGEST_BYTES).digest()).rstrip(b"=")


def _check_payload(reader: FieldReader, value: bytes) -> None:
    payload = reader.unpack(PAYLOAD)
    if payload != SQUARE_LATENT:
        kind, width, height = payload
        raise newer(f"kind {kind}, {width} by {height} cells", value)


def _pack_tag(tag: str) -> bytes:
    return TAG.pack(len(tag)) + tag.encode("ascii")


def _read_tag(reader: FieldReader) -> str:
    (name_bytes,) = TAG.unpack(reader.take(TAG.size))
    return reader.ascii(name_bytes)


def _assert_caps(record: Record) -> None:
    # The code that builds a record has to leave out what does not fit (see `fits`).
    assert fits(record.origin_etag, ETAG_CAP_BYTES)
    assert all_fit(record.passed)
    assert tags_fit(record.tags)
    assert 0 < len(record.bitstream) <= BITSTREAM_CAP_BYTES
    assert len(record.source_digest) == DIGEST_BYTES
    assert len(record.image_id.encode()) <= ID_CAP_BYTES
