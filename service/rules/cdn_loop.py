"""Detect request loops between edges with the CDN-Loop field (RFC 8586). No I/O, no clock.

Each edge adds its name to the requests that it forwards. If an edge receives a request with its own name, or with too
many names, it answers 508 at once. Otherwise it would wait for a response from itself.
"""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from service.errors import LoopDetected

TIERS = 8
"""A request that has passed this many caches is treated as a loop (assumed: no real chain of caches is so long)."""
FIELD_CAP_CHARACTERS = 1024  # assumed: a CDN-Loop field with the names of eight edges and of other CDNs is shorter


def node_name(*, host: str, parent: str) -> str:
    """Return the name of this edge for CDN-Loop. It is the same in all workers of the edge.

    The parent's address is part of the hash, so that an edge and its parent on the same host have different names.
    """
    # Only host, port and path of the parent are hashed: its URL may contain a password, and other servers see the name.
    address = urlsplit(parent)
    digest = hashlib.blake2b(f"{host}\0{address.hostname}:{address.port}{address.path}".encode(), digest_size=4)
    return f"latentedge-{digest.hexdigest()}"


def add_node(field: str, node: str) -> str:
    """Return the CDN-Loop field to send upstream: the received `field` with `node` added. Raises LoopDetected."""
    if not field:
        return node
    if len(field) > FIELD_CAP_CHARACTERS:
        raise LoopDetected(f"the CDN-Loop field has {len(field)} characters; the limit is {FIELD_CAP_CHARACTERS}")
    entries = [entry.strip() for entry in field.split(",") if entry.strip() and entry.isascii()]
    if node in {entry.partition(";")[0].rstrip() for entry in entries}:
        raise LoopDetected("the CDN-Loop field already contains the name of this edge")
    if len(entries) >= TIERS:
        raise LoopDetected(f"the request has passed {len(entries)} caches; fewer than {TIERS} are allowed")
    return ", ".join([*entries, node])
