"""How requests and searches end: the values of labels in every metric and figure. Standard library only."""

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
    """How the search for a better latent ended."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    """Nothing better was found."""
    SUPERSEDED = "superseded"
    """The store no longer held what was refined."""
    REFUSED = "refused"
    """Too many wait already."""
    FAILED = "failed"


class ReencodeOutcome(StrEnum):
    """What became of a latent of the previous weights that was to be encoded anew."""

    STORED = "stored"
    SUPERSEDED = "superseded"
    """The store no longer held what was read."""
    CHANGED = "changed"
    """The origin has another file by now, or one that may not be stored: its validation will find out."""
    ELSEWHERE = "elsewhere"
    """Another process does it, or has just tried."""
    REFUSED = "refused"
    """Too many encodes wait already."""
    FAILED = "failed"
    """The origin, the codec or the store failed, or the parent has no other latent either."""


class SweepOutcome(StrEnum):
    """What became of a key in a run through a filled cache."""

    STORED = "stored"
    """A better latent has taken its place."""
    UNCHANGED = "unchanged"
    """Nothing better was found."""
    SUPERSEDED = "superseded"
    """A purge, a fill or another edge came meanwhile, and was left alone."""
    FAILED = "failed"
    """The codec gave nothing."""
    ORIGIN_FAILED = "origin_failed"
    """The origin gave no file."""
    CHANGED = "changed"
    """The origin has another file by now."""
    UNUSABLE = "unusable"
    """What the origin has is too large, or no picture."""
    SEARCHED = "searched"
    """It has been searched for as long already."""
    VARIANT = "variant"
    """It takes the header fields of a client to ask for its source."""
    VARY_RULE = "vary_rule"
    """How a picture varies, and no picture."""
    REFUSAL = "refusal"
    """An error that is remembered, and no picture."""
    WITHOUT_ID = "without_id"
    """A record of an earlier version, which does not say what to ask the origin for."""
    OTHER_ORIGIN = "other_origin"
    """Of another origin that shares the store."""
    FOREIGN = "foreign"
    """Of other weights, or of another version."""
    DAMAGED = "damaged"
    PURGED = "purged"
    GONE = "gone"
    """Evicted, purged or over since the keys were listed."""
