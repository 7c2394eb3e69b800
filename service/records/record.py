"""The format of a picture's record in the store: a header and the bitstream, in the frame of framing.py. No I/O.

    frame 18 | kind 1, width 2, height 2 | numbers and lengths (FIXED) | origin's ETag | fields of PassedOn | tags
             | image id | bitstream

Kind is the kind of the payload; width and height are in cells of its grid. The only payload so far is a latent of 22 by
22 cells. A record with another payload was written by a newer release. Version 5 had no kind, width and height, and no
digest of the key in its frame. It is still read, so that an upgrade does not empty the cache, but every record is
written as version 6.

If the flag HAS_OTHERS is set, the length and the text of the other fields that are passed on (see pass_on.py) precede
the bitstream. Each length has a cap, which is checked before the length is used. A record is always written as a whole:
changing one field in place would leave a wrong checksum, and after an eviction it would create a fragment of a record.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from operator import gt

from models.bitstream import STREAM_ID_BYTES
from models.config import GRID
from models.screen.stream_ids import SCREEN_STREAM_ID
from service.errors import DamagedRecord
from service.records.field_reader import FieldReader
from service.records.framing import BINDING, NO_FLAGS, PREFIX, Framing, newer
from service.rules.cache_tags import TAGS_CAP, tags_fit
from service.rules.pass_on import Lines, can_be_kept, pack_lines, unpack_lines
from service.rules.response_fields import NOTHING, PASSED_ON, PassedOn

VERSION = 6
HAS_OTHERS = 0x0001
FRAMING = Framing(b"LEr", version=VERSION, previous_seals_magic=True, known_flags=HAS_OTHERS)
LATENT = 0
PAYLOAD = struct.Struct(">BHH")
"""The kind of the payload, and its width and height in cells."""
SQUARE_LATENT = (LATENT, GRID, GRID)
"""The only payload that this release writes and reads: kind, width and height."""
# The values in FIXED: born_ms, filled_ms, lifetime_s, stale_while_revalidate_s, stale_if_error_s, source digest, source
# bytes, conventional high and medium bytes, stream id, quality, refinement, generation, status, number of tags, and the
# lengths of the ETag, of each field of PassedOn and of the image id. born_ms is signed, because an origin may claim an
# age that reaches back beyond the epoch.
FIXED = struct.Struct(">qQIII16sIII4sBHQHB7HH")

TAG = struct.Struct(">B")
OTHERS = struct.Struct(">H")

# Caps on the texts in a record (assumed): larger than what origins usually send. A header with the longest texts still
# takes less than 64 KiB.
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
"""The longest image id in UTF-8. Derived: an id has at most 512 characters of at most 4 bytes."""
REFINEMENT_CAP = 2**16 - 1
"""The largest number of search steps that a record can hold. It is more than most searches need, because the number is
part of the entity tag: latents of searches with different numbers of steps must have different tags."""

DIGEST_BYTES = 16
_CAPS_BYTES = (ETAG_CAP_BYTES, *(PASSED_ON_CAPS_BYTES[name] for name in PASSED_ON), ID_CAP_BYTES)
_STREAM_ID_AT = PREFIX.size + BINDING.size + PAYLOAD.size + struct.calcsize(">qQIII16sIII")
STREAM_ID_END = _STREAM_ID_AT + STREAM_ID_BYTES
"""The number of first bytes of a packed record that `read_stream_id` needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One picture in the store. Dates are milliseconds since the epoch."""

    bitstream: bytes
    born_ms: int
    """When the origin generated the response, computed from its Age and Date. The picture's age counts from here."""
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
    """The number of search steps that improved the bitstream. It is part of the entity tag. A further search adds its
    steps to the number, so that the tag changes with the bytes."""
    generation: int = 0
    """The latest purge generation when the origin was asked (see `purge_table`)."""
    status: int = HTTPStatus.OK
    """The status of the origin's response. The edge serves the picture with the same status."""
    origin_etag: str = ""
    passed: PassedOn = NOTHING
    tags: tuple[str, ...] = ()
    """The cache tags of the picture, for purging."""
    image_id: str = ""
    """The image id that was requested from the origin; empty in a record that was first written as version 4."""
    _latent_digest: bytes = field(default=b"", init=False, repr=False, compare=False)
    """Empty until `latent_digest` is read."""

    @property
    def latent_digest(self) -> bytes:
        """Digest of the bitstream. It is computed and not stored, because a hostile parent could name any digest."""
        if not self._latent_digest:
            # SHA-256 has instructions of its own on every recent CPU: 6 us for 10 KB, BLAKE2b takes 14 (measured).
            object.__setattr__(self, "_latent_digest", hashlib.sha256(self.bitstream).digest())
        return self._latent_digest

    @property
    def is_screen(self) -> bool:
        """Return whether the record holds a screen stream instead of a latent."""
        return self.stream_id == SCREEN_STREAM_ID


def read_stream_id(head: bytes) -> bytes:
    """Return the stream id from the first bytes of a packed record; empty if they are of another kind or version.

    Nothing else is checked: `unpack` does that for the whole record.
    """
    if not head.startswith(FRAMING.magic + bytes([VERSION])):
        return b""
    return head[_STREAM_ID_AT:STREAM_ID_END]


def source_digest(source: bytes) -> bytes:
    """Return the digest that identifies a file of the origin."""
    return hashlib.blake2b(source, digest_size=DIGEST_BYTES).digest()


def fits(text: str, cap_bytes: int) -> bool:
    """Return whether a header value is ASCII and at most `cap_bytes` long, so that a record can hold it."""
    return text.isascii() and len(text) <= cap_bytes


def all_fit(passed: PassedOn) -> bool:
    """Return whether a record has room for all fields of `passed`."""
    caps_bytes = PASSED_ON_CAPS_BYTES.items()
    return can_be_kept(passed.others) and all(fits(getattr(passed, name), cap) for name, cap in caps_bytes)


def pack(record: Record, key: bytes) -> bytes:
    """Return the record as one string for the store. It can be read only under the same key."""
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
    others = _pack_others(record.passed.others)
    flags = HAS_OTHERS if others else NO_FLAGS
    return FRAMING.build(b"".join([*header, image_id, others, record.bitstream]), key, flags=flags)


def unpack(value: bytes, key: bytes) -> Record:
    """Return the record in the string under this key. Raises DamagedRecord, ForeignRecord or RecordOfOthers."""
    opened = FRAMING.open(value, key)
    reader = opened.reader
    if opened.version == FRAMING.version:
        _check_payload(reader, value)
    fields = reader.unpack(FIXED)
    tag_count, *lengths, id_bytes = fields[14:]
    if tag_count > TAGS_CAP or any(map(gt, fields[15:], _CAPS_BYTES)):
        raise DamagedRecord("the number of tags or the length of a field in the record is above its cap")
    etag, *passed = map(reader.ascii, lengths)
    tags = tuple(_read_tag(reader) for _ in range(tag_count))
    if not tags_fit(tags):  # a record that was read must be valid for `pack`, which writes it again with new dates
        raise DamagedRecord("the record has an invalid tag")
    image_id = reader.utf8(id_bytes)
    others = _read_others(reader) if opened.flags & HAS_OTHERS else ()
    bitstream = reader.rest()
    if not 0 < len(bitstream) <= BITSTREAM_CAP_BYTES:
        raise DamagedRecord(f"the bitstream has {len(bitstream)} bytes; 1 to {BITSTREAM_CAP_BYTES} are allowed")
    if not HTTPStatus.OK <= fields[13] < HTTPStatus.MULTIPLE_CHOICES:
        raise DamagedRecord(f"the record of a picture has the status {fields[13]}, which is not a 2xx status")
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
        passed=PassedOn(**dict(zip(PASSED_ON, passed, strict=True)), others=others),
        tags=tags,
        image_id=image_id,
    )


def _check_payload(reader: FieldReader, value: bytes) -> None:
    payload = reader.unpack(PAYLOAD)
    if payload != SQUARE_LATENT:
        kind, width, height = payload
        raise newer(f"only a newer release reads a payload of kind {kind} with {width} by {height} cells", value)


def _pack_tag(tag: str) -> bytes:
    return TAG.pack(len(tag)) + tag.encode("ascii")


def _read_tag(reader: FieldReader) -> str:
    (name_bytes,) = TAG.unpack(reader.take(TAG.size))
    return reader.ascii(name_bytes)


def _pack_others(others: Lines) -> bytes:
    packed = pack_lines(others)
    return OTHERS.pack(len(packed)) + packed if packed else b""


def _read_others(reader: FieldReader) -> Lines:
    (others_bytes,) = reader.unpack(OTHERS)
    try:
        return unpack_lines(reader.take(others_bytes))
    except ValueError as error:
        raise DamagedRecord(f"the record is damaged: {error}") from error


def _assert_caps(record: Record) -> None:
    # The code that builds a record must leave out texts that do not fit (see `fits`).
    assert fits(record.origin_etag, ETAG_CAP_BYTES)
    assert all_fit(record.passed)
    assert tags_fit(record.tags)
    assert 0 < len(record.bitstream) <= BITSTREAM_CAP_BYTES
    assert len(record.source_digest) == DIGEST_BYTES
    assert len(record.image_id.encode()) <= ID_CAP_BYTES
