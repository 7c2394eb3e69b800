"""Conditional requests, RFC 9110 13. Pure: plain values in, a verdict out.

Entity tags here are weak and known before any pixel is: they name what the pixels are computed from.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from service.cache.freshness import parse_http_date

# RFC 9110 8.8.3; a comma may stand inside the quotes.
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')
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


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional fields of a request; empty means absent."""

    if_none_match: str = ""
    if_modified_since: str = ""

    def not_modified(self, *, entity_tag: str, last_modified_s: int | None) -> bool:
        """Whether the client's copy is still good."""
        if self.if_none_match:
            # RFC 9110 13.1.3: with If-None-Match present, If-Modified-Since is ignored, whatever the tags say.
            return _any_match(self.if_none_match, entity_tag)
        if last_modified_s is None:
            return False
        since_s = parse_http_date(self.if_modified_since)
        return since_s is not None and last_modified_s <= since_s


def entity_tag(rendered: Rendered) -> str:
    """The same on every node and after every refill; weak, as devices may differ in the last level of a pixel."""
    fixed = b"".join([rendered.source_digest, rendered.stream_id, rendered.head_id])
    numbers = f"{rendered.quality} {rendered.size_px} {rendered.refinement} {rendered.media_type}".encode()
    digest = hashlib.blake2b(fixed + numbers, digest_size=_TAG_BYTES).digest()
    return f'W/"{urlsafe_b64encode(digest).decode()}"'


def _any_match(field: str, current: str) -> bool:
    if field.strip() == "*":  # RFC 9110 13.1.2
        return True
    # RFC 9110 8.8.3.2: If-None-Match compares weakly, so W/ does not matter on either side.
    return current.removeprefix("W/") in _ENTITY_TAG.findall(field)
