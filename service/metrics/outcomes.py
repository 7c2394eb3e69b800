"""The outcomes of requests, searches and sweeps: label values in metrics and figures. Standard library only."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The `status` of a request in every metric and figure."""

    HIT = "hit"
    STALE = "stale"
    REVALIDATED = "revalidated"
    MISS = "miss"
    COLLAPSED = "collapsed"
    BYPASS = "bypass"
    ERROR = "error"


class RefinementOutcome(StrEnum):
    """The outcome of a search for a better latent after a miss."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    """The search found no better latent."""
    SUPERSEDED = "superseded"
    """The record in the store was replaced or removed during the search."""
    REFUSED = "refused"
    """The queue of searches was full."""
    FAILED = "failed"


class ReencodeOutcome(StrEnum):
    """The outcome of re-encoding a latent of the previous weights."""

    STORED = "stored"
    SUPERSEDED = "superseded"
    """The record in the store was replaced or removed during the encode."""
    CHANGED = "changed"
    """The origin has another file now, or one that may not be stored. The next revalidation will notice."""
    ELSEWHERE = "elsewhere"
    """Another process is re-encoding it, or has just tried."""
    REFUSED = "refused"
    """The queue of encodes was full."""
    FAILED = "failed"
    """The origin, the codec or the store failed, or the parent sent a latent of the previous weights too."""


class SweepOutcome(StrEnum):
    """The outcome for one key of a sweep (`latentedge refine`)."""

    STORED = "stored"
    """A better latent was found and stored."""
    UNCHANGED = "unchanged"
    """The search found no better latent."""
    SUPERSEDED = "superseded"
    """A purge, a fill or another edge changed the record during the search; that change stays."""
    FAILED = "failed"
    """The codec failed."""
    ORIGIN_FAILED = "origin_failed"
    """The origin did not send the file."""
    CHANGED = "changed"
    """The origin has another file now."""
    UNUSABLE = "unusable"
    """The origin's file is too large or not a picture."""
    SEARCHED = "searched"
    """An earlier search for this latent took at least as many steps."""
    VARIANT = "variant"
    """The picture varies, and the header fields that select this variant are unknown."""
    VARY_RULE = "vary_rule"
    """The record is a vary rule and holds no picture."""
    REFUSAL = "refusal"
    """The record is a negative cache entry."""
    WITHOUT_ID = "without_id"
    """The record is of an earlier version and does not hold the image id, so the file cannot be fetched."""
    OTHER_ORIGIN = "other_origin"
    """The record belongs to another origin that shares the store."""
    FOREIGN = "foreign"
    """The record is of other weights or of another version."""
    DAMAGED = "damaged"
    PURGED = "purged"
    GONE = "gone"
    """The record was evicted or purged, or it expired, after the keys were listed."""
