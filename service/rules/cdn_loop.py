"""Requests that come back to the edge that made them (RFC 8586, CDN-Loop). Pure.

Every edge adds its name to what it asks for; one that reads its own name, or too many of them, refuses at once. To wait
would be to wait for itself.
"""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from service.errors import LoopDetected

TIERS = 8
"""Assumed: more edges than this in a row is a loop of edges that change their names."""
FIELD_CAP_CHARACTERS = 1024  # assumed: eight names, and those of other networks


def node_name(*, host: str, parent: str) -> str:
    """The same for all workers of an edge; two edges that are each other's parents have different parents."""
    # Host and path alone: an address may hold a password, and this is told to others.
    address = urlsplit(parent)
    digest = hashlib.blake2b(f"{host}\0{address.hostname}:{address.port}{address.path}".encode(), digest_size=4)
    return f"latentedge-{digest.hexdigest()}"


def passed_by(field: str, node: str) -> str:
    """The field of the requests that this one leads to. Raises LoopDetected."""
    if not field:
        return node
    if len(field) > FIELD_CAP_CHARACTERS:
        raise LoopDetected(f"{len(field)} characters of names")
    entries = [entry.strip() for entry in field.split(",") if entry.strip() and entry.isascii()]
    if node in {entry.partition(";")[0].rstrip() for entry in entries}:
        raise LoopDetected("this edge has asked for it itself")
    if len(entries) >= TIERS:
        raise LoopDetected(f"{len(entries)} have passed it on")
    return ", ".join([*entries, node])
