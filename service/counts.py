"""Metrics that belong to one part of the edge, handed to it by telemetry.py."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge


@dataclass(frozen=True, slots=True)
class Upstream:
    """What was asked of one of those who have the pictures."""

    _requests: Counter
    _bytes: Counter

    def answered(self, *, outcome: str, fetched_bytes: int) -> None:
        """One fetch, however it ended."""
        self._requests.labels(outcome).inc()
        self._bytes.inc(fetched_bytes)


@dataclass(frozen=True, slots=True)
class RenditionCounts:
    """Files that clients got, by where they came from, and what stays in memory of them."""

    _renditions: Counter
    _kept: Gauge

    def decoded(self, *, kept_bytes: int) -> None:
        """One was made; so much is in memory now."""
        self._renditions.labels("codec").inc()
        self._kept.set(kept_bytes)

    def found(self) -> None:
        """One was still in memory."""
        self._renditions.labels("memory").inc()

    def shared(self) -> None:
        """One was being made for another request."""
        self._renditions.labels("shared").inc()
