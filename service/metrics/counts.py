"""Metrics that belong to one part of the edge, handed to it by telemetry.py."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram

from service.metrics.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class UpstreamCounts:
    """What was asked of one of those who have the pictures."""

    _requests: Counter
    _bytes: Counter
    _retries: Counter

    def answered(self, *, outcome: str, fetched_bytes: int) -> None:
        """One fetch, however it ended."""
        self._requests.labels(outcome).inc()
        self._bytes.inc(fetched_bytes)

    def retried(self) -> None:
        """One request was sent again on a new connection."""
        self._retries.inc()


class RenditionCounts:
    """Files that clients got, by where they came from, and what stays in memory of them."""

    def __init__(self, renditions: Counter, kept: Gauge) -> None:
        self._family = renditions
        self._kept = kept
        self._known: dict[str, Counter] = {}

    def decoded(self, *, kept_bytes: int) -> None:
        """One was made; so much is in memory now."""
        self._from("codec").inc()
        self._kept.set(kept_bytes)

    def found(self) -> None:
        """One was still in memory."""
        self._from("memory").inc()

    def shared(self) -> None:
        """One was being made for another request."""
        self._from("shared").inc()

    def _from(self, source: str) -> Counter:
        if source not in self._known:
            self._known[source] = self._family.labels(source)
        return self._known[source]


class RequestCounts:
    """Answered requests. What the labels name is looked up once: each look-up takes as long as the counting."""

    def __init__(self, requests: Counter, sent_bytes: Counter, seconds: Histogram) -> None:
        self._families = (requests, sent_bytes, seconds)
        self._known: dict[tuple[str, Outcome], tuple[Counter, Counter, Histogram]] = {}

    def answered(self, res: str, outcome: Outcome, *, seconds: float, sent_bytes: int) -> None:
        """One, in this resolution and with this end."""
        requests, sent, took = self._known.get((res, outcome)) or self._named(res, outcome)
        requests.inc()
        sent.inc(sent_bytes)
        took.observe(seconds)

    def _named(self, res: str, outcome: Outcome) -> tuple[Counter, Counter, Histogram]:
        requests, sent, took = self._families
        labels = (res, outcome.value)
        self._known[res, outcome] = (requests.labels(*labels), sent.labels(*labels), took.labels(*labels))
        return self._known[res, outcome]


class StageCounts:
    """The steps of requests, likewise."""

    def __init__(self, seconds: Histogram) -> None:
        self._family = seconds
        self._known: dict[str, Histogram] = {}

    def took(self, name: str, seconds: float) -> None:
        """One step."""
        if name not in self._known:
            self._known[name] = self._family.labels(name)
        self._known[name].observe(seconds)
