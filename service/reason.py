"""Why the edge did what it did with a request: one table. Standard library only.

A reason is what `Cache-Status` says (RFC 9211), what a metric counts, and a row of "Why was this a miss?" in
docs/http.md, which tells what an operator does about it.
"""

from __future__ import annotations

from enum import Enum, unique


@unique
class Reason(Enum):
    """The pair is the `fwd` and the `detail` of `Cache-Status`. An empty string is not said."""

    # Why the origin or the parent was asked.
    URI_MISS = "uri-miss", ""
    """Nothing lies under the key: never stored, evicted, over, or purged by id. The store cannot tell which."""
    VARY_MISS = "vary-miss", ""
    STALE = "stale", ""
    PURGED = "uri-miss", "purged"
    """By tag or with all pictures: the record is still there, and older than the purge."""
    DAMAGED_RECORD = "uri-miss", "damaged-record"
    FOREIGN_RECORD = "uri-miss", "foreign-record"
    NEWER_RECORD = "bypass", "newer-record"
    OTHER_WEIGHTS = "bypass", "other-weights"
    STORE_UNAVAILABLE = "bypass", "store-unavailable"

    # Why the answer of the origin may not be stored.
    NO_STORE = "", "no-store"
    PRIVATE = "", "private"
    NO_TRANSFORM = "", "no-transform"
    STATUS = "", "status"
    VARY = "", "vary"
    NO_CACHE = "", "no-cache"
    ALREADY_STALE = "", "already-stale"
    LONG_FIELD = "", "long-field"
    TOO_MANY_TAGS = "", "too-many-tags"

    # Why a picture that may be stored was not encoded.
    NOT_ADMITTED = "", "not-admitted"
    QUEUE_FULL = "", "queue-full"
    DECODER_AWAY = "", "decoder-away"

    # Why the answer is not a decoded fresh latent.
    MEMORY = "", "memory"
    SOURCE = "", "source"
    STALE_WHILE_REVALIDATE = "", "stale-while-revalidate"
    STALE_IF_ERROR = "", "stale-if-error"

    def __init__(self, fwd: str, detail: str) -> None:
        self.fwd = fwd
        self.detail = detail
        self.label = (detail or fwd).replace("-", "_")
        """The value of the label `reason`, `detail` or `fault` in metrics."""


NOT_ENCODED = (Reason.NOT_ADMITTED, Reason.QUEUE_FULL, Reason.DECODER_AWAY)
