"""Conditional requests, RFC 9110 13. Pure: plain values in, a verdict out.

Entity tags here are weak and known before any pixel is: they name what the pixels are computed from.
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
    """Everything that the pixels of a rendition and their file depend on."""

    source_digest: bytes
    quality: int
    stream_id: bytes
    head_id: bytes
    size_px: int
    media_type: str
    refinement: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What a client's copy is compared with; empty means that there is none."""

    entity_tag: str
    last_modified: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional fields of a request that a cache evaluates; None means absent.

    If-Match and If-Unmodified-Since are for origins alone (RFC 9111 4.3.2), and without ranges there is no If-Range.
    """

    if_none_match: str | None = None
    if_modified_since: str | None = None

    def not_modified(self, current: Validators, *, now_s: float) -> bool:
        """Whether the client's copy is still good (RFC 9110 13.2.2)."""
        if self.if_none_match is not None:
            # RFC 9110 13.1.3: with If-None-Match present, If-Modified-Since is ignored, whatever the tags say.
            return _any_match(self.if_none_match, current.entity_tag)
        if self.if_modified_since is None:
            return False
        since_s = parse_http_date(self.if_modified_since, now_s=now_s)
        # RFC 9111 4.3.2: without Last-Modified, the date of the answer counts.
        modified_s = parse_http_date(current.last_modified or current.date, now_s=now_s)
        return since_s is not None and modified_s is not None and modified_s <= since_s


# The same renditions are asked for again and again.
@lru_cache(maxsize=4096)
def entity_tag(rendered: Rendered) -> str:
    """The same on every node and after every refill; weak, as devices may differ in the last level of a pixel."""
    fixed = b"".join([rendered.source_digest, rendered.stream_id, rendered.head_id])
    numbers = f"{rendered.quality} {rendered.size_px} {rendered.refinement} {rendered.media_type}".encode()
    return f'W/"{_digest(fixed + numbers)}"'


def source_entity_tag(source_digest: bytes, *, size_px: int, media_type: str) -> str:
    """Of a picture that was resized from its source: it looks better than the one that the latent will give."""
    return f'W/"s-{_digest(source_digest + f"{size_px} {media_type}".encode())}"'


def _digest(named: bytes) -> str:
    return urlsafe_b64encode(hashlib.blake2b(named, digest_size=_TAG_BYTES).digest()).decode()


def _any_match(field: str, current: str) -> bool:
    if field.strip() == "*":  # RFC 9110 13.1.2
        return True
    # RFC 9110 8.8.3.2: If-None-Match compares weakly, so W/ does not matter on either side. A comma may stand inside
    # the quotes (8.8.3), and a tag whose quotes are never closed is none.
    tags = field.split('"')[1:-1:2]
    return bool(current) and current.removeprefix("W/").strip('"') in tags
