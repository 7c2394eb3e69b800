"""Evaluate conditional requests (RFC 9110 13) and compute the edge's entity tags. No I/O, no clock.

The entity tags are weak. They are hashes of the inputs of a decode, so they are known before any pixel is decoded.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache

from service.rules.http_date import parse_http_date

_TAG_BYTES = 12


@dataclass(frozen=True, slots=True)
class Rendered:
    """The inputs that determine the picture file of one rendition. The entity tag is a hash of these inputs."""

    source_digest: bytes
    quality: int
    stream_id: bytes
    head_id: bytes
    size_px: int
    media_type: str
    refinement: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """The values of ETag, Last-Modified and Date of the current response; an empty string means an absent field."""

    entity_tag: str
    last_modified: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional header fields of a request that this cache evaluates; None means an absent field.

    A cache does not evaluate If-Match and If-Unmodified-Since (RFC 9111 4.3.2). If-Range is ignored, because this edge
    serves no ranges.
    """

    if_none_match: str | None = None
    if_modified_since: str | None = None

    def names(self, entity_tag: str) -> bool:
        """Return whether If-None-Match contains this entity tag or is `*` (RFC 9110 13.1.2)."""
        return self.if_none_match is not None and _any_match(self.if_none_match, entity_tag)

    def is_not_modified(self, current: Validators, *, now_s: float) -> bool:
        """Return whether the client's copy is current, so that the response is a 304 (RFC 9110 13.2.2)."""
        if self.if_none_match is not None:
            # RFC 9110 13.1.3: if If-None-Match is present, If-Modified-Since is ignored, even if no tag matches.
            return _any_match(self.if_none_match, current.entity_tag)
        if self.if_modified_since is None:
            return False
        since_s = parse_http_date(self.if_modified_since, now_s=now_s)
        # RFC 9111 4.3.2: a response without Last-Modified is compared by its Date.
        modified_s = parse_http_date(current.last_modified or current.date, now_s=now_s)
        return since_s is not None and modified_s is not None and modified_s <= since_s


# Entity tags are cached, because clients request the same renditions again and again.
@lru_cache(maxsize=2048)
def entity_tag(rendered: Rendered) -> str:
    """Return the entity tag of a rendition: the same on every node and after every refill.

    It is weak, because pixel values may differ by one between devices.
    """
    fixed = b"".join([rendered.source_digest, rendered.stream_id, rendered.head_id])
    numbers = f"{rendered.quality} {rendered.size_px} {rendered.refinement} {rendered.media_type}".encode()
    return f'W/"{_digest(fixed + numbers)}"'


def source_entity_tag(source_digest: bytes, *, size_px: int, media_type: str) -> str:
    """Return the entity tag of a picture resized from the origin's file. It differs from that of a decoded latent."""
    return f'W/"s-{_digest(source_digest + f"{size_px} {media_type}".encode())}"'


def _digest(named: bytes) -> str:
    return urlsafe_b64encode(hashlib.blake2b(named, digest_size=_TAG_BYTES).digest()).decode()


def _any_match(field: str, current: str) -> bool:
    if field.strip() == "*":  # RFC 9110 13.1.2: `*` matches any entity tag
        return True
    # RFC 9110 8.8.3.2: If-None-Match uses the weak comparison, which ignores W/ on both sides. An entity tag may
    # contain commas (8.8.3), so the field is split at the quotes. A tag without its closing quote is ignored.
    tags = field.split('"')[1:-1:2]
    return bool(current) and current.removeprefix("W/").strip('"') in tags
