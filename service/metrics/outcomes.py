"""The outcomes of requests, searches, re-encodes and sweeps: label values of metrics. Standard library only."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of a request, as the `status` label of metrics and figures names it."""

    HIT = "hit"
    STALE = "stale"
    REVALIDATED = "revalidated"
    MISS = "miss"
    COLLAPSED = "collapsed"
    BYPASS = "bypass"
    ERROR = "error"


# In the hit ratio, a collapsed request is no hit, because it waited for the origin. Bypass and error are not counted,
# because no cache could have answered them.
HITS = frozenset({Outcome.HIT, Outcome.STALE})
COUNTED = HITS | {Outcome.REVALIDATED, Outcome.MISS, Outcome.COLLAPSED}


class FileSource(StrEnum):
    """Where the body of a hit came from, as the `source` label of edge_hit_seconds names it."""

    CODEC = "codec"
    """The file was decoded from its latent for this request."""
    MEMORY = "memory"
    """The file was in the in-memory cache."""
    SHARED = "shared"
    """The request waited for another request's decode of the same file."""
    LATENT = "latent"
    """The latent itself was sent, to a child edge."""
    ORIGIN = "origin"
    """The file was made from the origin's picture, whose latent is still being made."""
    NONE = "none"
    """The answer has no body: 304, HEAD, or a remembered error."""


class RefinementOutcome(StrEnum):
    """The outcome of a search for a better latent after a miss."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    """The search found no better latent."""
    SUPERSEDED = "superseded"
    """The record in the store was replaced or removed during the search."""
    REFUSED = "refused"
    """The queue of searches was full, so no search was made."""
    FAILED = "failed"


class ReencodeOutcome(StrEnum):
    """The outcome of re-encoding a latent of the previous weights."""

    STORED = "stored"
    SUPERSEDED = "superseded"
    """The record in the store was replaced or removed during the encode."""
    CHANGED = "changed"
    """The origin has another file now, or forbids to store it. The next revalidation will replace the record."""
    ELSEWHERE = "elsewhere"
    """Another process is re-encoding the same picture, or has just tried."""
    REFUSED = "refused"
    """The queue of encodes was full, so no encode was made."""
    FAILED = "failed"
    """The origin, the codec or the store failed, or the parent sent a latent of the previous weights too."""


class DemotionOutcome(StrEnum):
    """The outcome for a cold record that was chosen for demotion."""

    STORED = "stored"
    """The medium latent has replaced the high one."""
    SUPERSEDED = "superseded"
    """A purge, a fill, a renewal or a search changed the record meanwhile, and that change was kept."""
    NOT_SMALLER = "not_smaller"
    """The medium latent would take as many bytes as the high one."""
    SKIPPED = "skipped"
    """The key holds no high latent of this edge's weights and origin, or one that was purged."""
    REFUSED = "refused"
    """The codec's queue for work in its idle time was full."""
    FAILED = "failed"
    """The codec or the store failed."""


class SweepOutcome(StrEnum):
    """The outcome for one key of a sweep, the search for better latents over a whole store (`latentedge refine`)."""

    STORED = "stored"
    """A better latent was found and stored."""
    UNCHANGED = "unchanged"
    """The search found no better latent."""
    SUPERSEDED = "superseded"
    """A purge, a fill or another edge changed the record during the search, so the new latent was discarded."""
    FAILED = "failed"
    """The codec failed, or the machine was too busy to read the source file."""
    ORIGIN_FAILED = "origin_failed"
    """The origin did not send the file."""
    CHANGED = "changed"
    """The origin has another file under this image id now."""
    UNUSABLE = "unusable"
    """The origin's file is too large or not a picture."""
    SEARCHED = "searched"
    """An earlier search has improved this latent with at least as many steps as this sweep would take."""
    VARIANT = "variant"
    """The record is one of several variants (Vary), and the header fields that select it are unknown."""
    VARY_RULE = "vary_rule"
    """The key holds a vary rule, which says how variants are selected, and no picture."""
    REFUSAL = "refusal"
    """The key holds a negative cache entry, which is a stored error, and no picture."""
    WITHOUT_ID = "without_id"
    """The record is of an earlier version and does not hold the image id, so the file cannot be fetched."""
    OTHER_ORIGIN = "other_origin"
    """The record belongs to another origin that shares the store."""
    DEMOTED = "demoted"
    """The record is demoted: a better high latent would take the memory that the demotion has freed."""
    FOREIGN = "foreign"
    """The record was made with other weights, or its format has another version."""
    SCREEN = "screen"
    """The record holds a screen stream, which no search improves."""
    DAMAGED = "damaged"
    PURGED = "purged"
    GONE = "gone"
    """The record was evicted or purged, or it expired, after the keys were listed."""
