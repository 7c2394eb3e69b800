"""Groups of Prometheus metrics, one class for each part of the edge. `telemetry` creates them."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram

from service.metrics.outcomes import DemotionOutcome, FileSource, Outcome


@dataclass(frozen=True, slots=True)
class UpstreamCounts:
    """The metrics of fetches from one upstream server: the origin or the parent."""

    _requests: Counter
    _bytes: Counter
    _retries: Counter

    def count_fetch(self, *, outcome: str, fetched_bytes: int) -> None:
        """Count one fetch by its outcome: `ok`, `not_modified` or the label of an error."""
        self._requests.labels(outcome).inc()
        self._bytes.inc(fetched_bytes)

    def count_retry(self) -> None:
        """Count a request that was sent again on a new connection, because the server had closed the kept one."""
        self._retries.inc()


@dataclass(frozen=True, slots=True)
class ClientCounts:
    """The metrics of clients' connections, and of the limits that close, refuse or delay them."""

    _open: Gauge
    _cut: Counter
    _refused: Counter
    _not_accepted: Counter

    def declare(self) -> None:
        """Create the series of all reasons with the value 0, so that Prometheus sees the first event as an increase."""
        for reason in ("request_timeout", "send_timeout", "too_many"):
            self._cut.labels(reason)
        for reason in ("too_many", "no_descriptors"):
            self._not_accepted.labels(reason)

    def set_open(self, count: int) -> None:
        """Set the number of open connections."""
        self._open.set(count)

    def count_cut(self, reason: str) -> None:
        """Count a connection that was closed because of a limit, by the reason."""
        self._cut.labels(reason).inc()

    def count_refused(self, status: int) -> None:
        """Count a request that was refused before it reached a route, by the status of the response."""
        self._refused.labels(str(int(status))).inc()

    def count_not_accepted(self, reason: str) -> None:
        """Count a failure to accept a new connection, by the reason."""
        self._not_accepted.labels(reason).inc()


class RenditionCounts:
    """The metrics of picture files by their source, and of the size of the in-memory cache of files."""

    def __init__(self, renditions: Counter, kept: Gauge) -> None:
        self._family = renditions
        self._kept = kept
        self._known: dict[str, Counter] = {}

    def count_decode(self, *, kept_bytes: int) -> None:
        """Count a decoded file, and set the present size of the in-memory cache."""
        self._from("codec").inc()
        self._kept.set(kept_bytes)

    def count_memory_hit(self) -> None:
        """Count a file that was found in the in-memory cache."""
        self._from("memory").inc()

    def count_shared(self) -> None:
        """Count a request that waited for another request's decode of the same file."""
        self._from("shared").inc()

    def _from(self, source: str) -> Counter:
        if source not in self._known:
            self._known[source] = self._family.labels(source)
        return self._known[source]


@dataclass(frozen=True, slots=True)
class DemotionCounts:
    """The metrics of demoted records: demotions, the answers that were generated, and refills."""

    _demotions: Counter
    _bytes: Counter
    _generated: Counter
    _refills: Counter

    def declare(self) -> None:
        """Create the series of all labels with the value 0, so that Prometheus sees the first event as an increase."""
        for outcome in DemotionOutcome:
            self._demotions.labels(outcome.value)
        for latent in ("high", "medium"):
            self._bytes.labels(latent)

    def count(self, outcome: DemotionOutcome) -> None:
        """Count a record that was chosen for demotion, by its outcome."""
        self._demotions.labels(outcome.value).inc()

    def add_bytes(self, *, high_bytes: int, medium_bytes: int) -> None:
        """Add the size of a high latent that was replaced, and the size of the medium latent in its place."""
        self._bytes.labels("high").inc(high_bytes)
        self._bytes.labels("medium").inc(medium_bytes)

    def count_generated(self) -> None:
        """Count an answer with a generated picture."""
        self._generated.inc()

    def count_refill(self) -> None:
        """Count a refill of a demoted picture that was begun because the picture was requested again."""
        self._refills.inc()


class RequestCounts:
    """The metrics of answered requests. Labelled counters are kept, because a lookup takes as long as counting."""

    def __init__(self, requests: Counter, sent_bytes: Counter, seconds: Histogram, *, hit_seconds: Histogram) -> None:
        self._families = (requests, sent_bytes, seconds)
        self._hit_seconds = hit_seconds
        self._known: dict[tuple[str, Outcome], tuple[Counter, Counter, Histogram]] = {}
        self._known_hits: dict[tuple[str, FileSource], Histogram] = {}

    def count(self, res: str, outcome: Outcome, *, seconds: float, sent_bytes: int) -> None:
        """Count one answered request by its resolution and outcome."""
        requests, sent, took = self._known.get((res, outcome)) or self._label(res, outcome)
        requests.inc()
        sent.inc(sent_bytes)
        took.observe(seconds)

    def count_hit(self, res: str, source: FileSource, *, seconds: float) -> None:
        """Record the time of one hit by its resolution and the source of its file."""
        if (res, source) not in self._known_hits:
            self._known_hits[res, source] = self._hit_seconds.labels(res, source.value)
        self._known_hits[res, source].observe(seconds)

    def _label(self, res: str, outcome: Outcome) -> tuple[Counter, Counter, Histogram]:
        requests, sent, took = self._families
        labels = (res, outcome.value)
        self._known[res, outcome] = (requests.labels(*labels), sent.labels(*labels), took.labels(*labels))
        return self._known[res, outcome]


class StageCounts:
    """The metrics of the steps of requests. Labelled histograms are kept, which saves a lookup each time."""

    def __init__(self, seconds: Histogram) -> None:
        self._family = seconds
        self._known: dict[str, Histogram] = {}

    def observe(self, name: str, seconds: float) -> None:
        """Record the time of one step of a request, by its name."""
        if name not in self._known:
            self._known[name] = self._family.labels(name)
        self._known[name].observe(seconds)
