"""Name the keys of the store: records, leases, marks of purges, lists of variants, and tables of purges. No I/O."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from functools import lru_cache

NAME_DIGEST_BYTES = 16
KEY_PREFIX = b"p:"
LEASE_PREFIX = b"l:"
PURGE_MARK_PREFIX = b"u:"
VARIANTS_PREFIX = b"v:"
GENERATIONS_PREFIX = b"g:"
DEMOTION_PREFIX = b"d:"


# Keys are cached, because clients request the same pictures again and again. The cache stays small, because an image id
# has at most 512 characters.
@lru_cache(maxsize=1024)
def record_key(image_id: str, *, origin: str) -> bytes:
    """Return the store's key of a picture. It depends on the origin, because edges of two origins may share a store.

    A Redis Cluster hashes only the part in braces, so the record and its lease are on the same node. The digest is in
    base64, because raw bytes could contain braces.
    """
    return KEY_PREFIX + b"{" + _name_digest(f"{origin}\0{image_id}") + b"}"


def lease_key(key: bytes) -> bytes:
    """Return the key of a record's lease."""
    return LEASE_PREFIX + key.removeprefix(KEY_PREFIX)


def purge_mark_key(key: bytes) -> bytes:
    """Return the key of the mark that a purge of this picture sets."""
    return PURGE_MARK_PREFIX + key.removeprefix(KEY_PREFIX)


def variants_key(key: bytes) -> bytes:
    """Return the key of the list of a picture's variants."""
    return VARIANTS_PREFIX + key.removeprefix(KEY_PREFIX)


def generations_key(origin: str) -> bytes:
    """Return the key of the table of purges of one origin."""
    return GENERATIONS_PREFIX + _name_digest(origin)


def demotion_key(origin: str) -> bytes:
    """Return the key of the lease under which an edge demotes the records of one origin."""
    return DEMOTION_PREFIX + _name_digest(origin)


def _name_digest(name: str) -> bytes:
    return urlsafe_b64encode(hashlib.blake2b(name.encode(), digest_size=NAME_DIGEST_BYTES).digest()).rstrip(b"=")
