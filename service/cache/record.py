"""What the store holds for one picture: a packed header, then the bitstream, one CRC-32 over all. No I/O, no clock.

    magic 3, version 1, CRC-32 4 | fields and lengths (FIXED) | origin etag | Cache-Control | tags (TAG) | bitstream

Every length has a cap that is checked before it is used. The whole value is written and read at once: a field that is
changed in place would leave a wrong checksum, and under eviction a stub of a record.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from zlib import crc32

from service.errors import DamagedRecord, ForeignRecord

MAGIC = b"LEr"
VERSION = 1
PREFIX = struct.Struct(">3sBI")
# born_ms, filled_ms, lifetime_s, swr_s, sie_s, source digest, source bytes, conventional high and medium bytes,
# stream id, quality, refinement, generation, origin last-modified or NO_DATE, lengths of etag and Cache-Control, tags
# An origin may claim an age that reaches back beyond the epoch, so born_ms has a sign.
FIXED = struct.Struct(">qQIII16sIII4sBBIqHHB")
TAG = struct.Struct(">BI")
NO_DATE = -1

# Caps (assumed): generous for what origins send; a record with all of them full is still below 64 KiB of header.
ETAG_CAP_BYTES = 512
CACHE_CONTROL_CAP_BYTES = 512
TAGS_CAP = 64
TAG_CAP_BYTES = 255
BITSTREAM_CAP_BYTES = 2**20 + 2**10
REFINEMENT_CAP = 2**8 - 1
"""The largest refinement number that the header holds."""

DIGEST_BYTES = 16
KEY_PREFIX = b"p:"


@dataclass(frozen=True, slots=True)
class Tag:
    """A name under which pictures are purged, and its generation when the fill began."""

    name: str
    generation: int = 0


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
    """What the high rendition takes as a JPEG file."""
    conventional_medium_bytes: int
    stream_id: bytes
    quality: int
    refinement: int = 0
    generation: int = 0
    origin_last_modified_s: int | None = None
    origin_etag: str = ""
    cache_control: str = ""
    tags: tuple[Tag, ...] = ()


def record_key(image_id: str, *, origin: str) -> bytes:
    """The store's key. The origin takes part: edges of two origins may share a store."""
    name = f"{origin}\0{image_id}".encode()
    return KEY_PREFIX + hashlib.blake2b(name, digest_size=DIGEST_BYTES).digest()


def source_digest(source: bytes) -> bytes:
    """Identifies the file that the origin sent."""
    return hashlib.blake2b(source, digest_size=DIGEST_BYTES).digest()


def fits(text: str, cap_bytes: int) -> bool:
    """Whether a header value of the origin may enter a record."""
    return text.isascii() and len(text) <= cap_bytes


def pack(record: Record) -> bytes:
    """The record as one string for the store."""
    etag = record.origin_etag.encode("ascii")
    cache_control = record.cache_control.encode("ascii")
    _assert_caps(record, etag, cache_control)
    last_modified_s = NO_DATE if record.origin_last_modified_s is None else record.origin_last_modified_s
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
        last_modified_s,
        len(etag),
        len(cache_control),
        len(record.tags),
    )
    body = b"".join([fixed, etag, cache_control, *map(_pack_tag, record.tags), record.bitstream])
    return PREFIX.pack(MAGIC, VERSION, _checksum(VERSION, body)) + body


def unpack(value: bytes) -> Record:
    """The record in a string of the store. Raises DamagedRecord or ForeignRecord."""
    body = _checked_body(value)
    fields = FIXED.unpack_from(body)
    etag_bytes, cache_control_bytes, tag_count = fields[-3:]
    if etag_bytes > ETAG_CAP_BYTES or cache_control_bytes > CACHE_CONTROL_CAP_BYTES or tag_count > TAGS_CAP:
        raise DamagedRecord("a length above its cap")
    reader = _Reader(body, FIXED.size)
    etag = reader.text(etag_bytes)
    cache_control = reader.text(cache_control_bytes)
    tags = tuple(reader.tag() for _ in range(tag_count))
    bitstream = reader.rest()
    if not 0 < len(bitstream) <= BITSTREAM_CAP_BYTES:
        raise DamagedRecord("an impossible length of the bitstream")
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
        origin_last_modified_s=None if fields[13] == NO_DATE else fields[13],
        origin_etag=etag,
        cache_control=cache_control,
        tags=tags,
    )


def _checksum(version: int, body: bytes) -> int:
    return crc32(body, crc32(MAGIC + bytes([version])))


def _checked_body(value: bytes) -> bytes:
    if len(value) < PREFIX.size + FIXED.size:
        raise DamagedRecord("shorter than a header")
    magic, version, checksum = PREFIX.unpack_from(value)
    if magic != MAGIC:
        raise DamagedRecord("not a record")
    body = value[PREFIX.size :]
    if checksum != _checksum(version, body):
        raise DamagedRecord("the checksum does not match")
    if version != VERSION:
        raise ForeignRecord(f"record version {version}")
    return body


def _pack_tag(tag: Tag) -> bytes:
    name = tag.name.encode("ascii")
    return TAG.pack(len(name), tag.generation) + name


def _assert_caps(record: Record, etag: bytes, cache_control: bytes) -> None:
    # Our own mistakes: whoever builds a record drops what does not fit (see `fits`).
    assert len(etag) <= ETAG_CAP_BYTES
    assert len(cache_control) <= CACHE_CONTROL_CAP_BYTES
    assert len(record.tags) <= TAGS_CAP
    assert all(len(tag.name) <= TAG_CAP_BYTES for tag in record.tags)
    assert 0 < len(record.bitstream) <= BITSTREAM_CAP_BYTES
    assert len(record.source_digest) == DIGEST_BYTES


@dataclass(slots=True)
class _Reader:
    """Takes fields off the front and never beyond the end."""

    body: bytes
    at: int

    def take(self, count: int) -> bytes:
        if count > len(self.body) - self.at:
            raise DamagedRecord("a field reaches beyond the end")
        self.at += count
        return self.body[self.at - count : self.at]

    def text(self, count: int) -> str:
        field = self.take(count)
        if not field.isascii():
            raise DamagedRecord("a text that is not ASCII")
        return field.decode("ascii")

    def tag(self) -> Tag:
        name_bytes, generation = TAG.unpack(self.take(TAG.size))
        return Tag(name=self.text(name_bytes), generation=generation)

    def rest(self) -> bytes:
        return self.body[self.at :]
