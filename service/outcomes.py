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
