"""Detection of request loops between edges (CDN-Loop, RFC 8586). Pure.

Each edge adds its name to the requests that it forwards. An edge that finds its own name in a request, or too many
names, refuses the request at once: otherwise it would wait for its own answer.
"""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from service.errors import LoopDetected

TIERS = 8
"""Assumed: a chain of more edges than this is a loop whose edges change their names."""
FIELD_CAP_CHARACTERS = 1024  # assumed: room for eight edges and for the names of other CDNs


def node_name(*, host: str, parent: str) -> str:
    """Return the name of this edge, the same in all its workers.

    The parent's address is hashed too, so that two edges that are each other's parents have different names.
    """
    # Only host, port and path are hashed: an address may hold a password, and other servers see this name.
    address = urlsplit(parent)
    digest = hashlib.blake2b(f"{host}\0{address.hostname}:{address.port}{address.path}".encode(), digest_size=4)
    return f"latentedge-{digest.hexdigest()}"


def add_node(field: str, node: str) -> str:
    """Return the CDN-Loop field to send upstream: the received one with this node added. Raises LoopDetected."""
    if not field:
        return node
    if len(field) > FIELD_CAP_CHARACTERS:
        raise LoopDetected(f"{len(field)} characters of names")
    entries = [entry.strip() for entry in field.split(",") if entry.strip() and entry.isascii()]
    if node in {entry.partition(";")[0].rstrip() for entry in entries}:
        raise LoopDetected("CDN-Loop names this edge")
    if len(entries) >= TIERS:
        raise LoopDetected(f"{len(entries)} caches have forwarded it")
    return ", ".join([*entries, node])
