"""All reasons for the edge's decisions on requests. Standard library only.

Each reason is a value in `Cache-Status` (RFC 9211), a label in metrics, and a row of "Why was this a miss?" in
docs/http.md, which says what an operator can do about it.
"""

from __future__ import annotations

from enum import Enum, unique


@unique
class Reason(Enum):
    """A reason, as the parameters `fwd` and `detail` of `Cache-Status`. A parameter is left out if it is empty."""

    # These reasons tell why a request was forwarded to the origin or the parent.
    URI_MISS = "uri-miss", ""
    """The store has no record: it was never stored, or it was evicted, has expired, or was purged by id."""
    VARY_MISS = "vary-miss", ""
    STALE = "stale", ""
    PURGED = "uri-miss", "purged"
    """The store has the record, but it is older than a purge of its tag or of all pictures."""
    DAMAGED_RECORD = "uri-miss", "damaged-record"
    FOREIGN_RECORD = "uri-miss", "foreign-record"
    DEMOTED = "uri-miss", "demoted"
    """The store has only a medium latent of the picture, and the request needs the high one."""
    NEWER_RECORD = "bypass", "newer-record"
    OTHER_WEIGHTS = "bypass", "other-weights"
    STORE_UNAVAILABLE = "bypass", "store-unavailable"

    # These reasons tell why a response of the origin may not be stored.
    NO_STORE = "", "no-store"
    PRIVATE = "", "private"
    NO_TRANSFORM = "", "no-transform"
    STATUS = "", "status"
    VARY = "", "vary"
    NO_CACHE = "", "no-cache"
    ALREADY_STALE = "", "already-stale"
    LONG_FIELD = "", "long-field"
    TOO_MANY_TAGS = "", "too-many-tags"

    # These reasons tell why a picture that may be stored was not encoded.
    NOT_ADMITTED = "", "not-admitted"
    QUEUE_FULL = "", "queue-full"
    DECODER_AWAY = "", "decoder-away"
    NO_LEASE = "", "no-lease"

    # These reasons tell how the response was made, if it was not decoded from a fresh latent for this request.
    MEMORY = "", "memory"
    UNCONFIRMED = "", "unconfirmed"
    GENERATED = "", "generated"
    SOURCE = "", "source"
    STALE_WHILE_REVALIDATE = "", "stale-while-revalidate"
    STALE_IF_ERROR = "", "stale-if-error"

    def __init__(self, fwd: str, detail: str) -> None:
        self.fwd = fwd
        self.detail = detail
        self.label = (detail or fwd).replace("-", "_")
        """The value of this reason in the metric labels `reason`, `detail` and `fault`."""


NOT_ENCODED = (Reason.NOT_ADMITTED, Reason.QUEUE_FULL, Reason.DECODER_AWAY, Reason.NO_LEASE)
