"""The metrics of clients' requests for pictures: answers, their steps, what was fetched for them, and their log."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from service.metrics.outcomes import FileSource, Outcome
from service.metrics.timings import Timings
from service.reason import NOT_ENCODED, Reason

# The bounds of the buckets in seconds (assumed): they reach from a 304 to a fill that waits for a slow origin.
SECONDS = (
    *(0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
)
STAGE_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 10.0)


class RequestCounts:
    """The metrics of requests. It keeps the counter of each label, because looking it up takes as long as counting."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "edge_cache_requests_total",
            "Requests for pictures and latents, by resolution and outcome.",
            ["res", "status"],
            registry=registry,
        )
        self._sent_bytes = Counter(
            "edge_response_bytes_total",
            "Bytes of picture files and latents sent, by resolution and outcome.",
            ["res", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "edge_request_seconds",
            "Seconds from the arrival of a request until its answer is ready, by resolution and outcome.",
            ["res", "status"],
            buckets=SECONDS,
            registry=registry,
        )
        self._hit_seconds = Histogram(
            "edge_hit_seconds",
            "Seconds from the arrival of a request until its answer is ready, for hits, by source of the file.",
            ["res", "source"],
            buckets=SECONDS,
            registry=registry,
        )
        self._stages = Histogram(
            "edge_stage_seconds",
            "Seconds that each step of a request took, such as store, origin, encode and file.",
            ["stage"],
            buckets=STAGE_SECONDS,
            registry=registry,
        )
        self._forwarded = Counter(
            "edge_forwarded_total",
            "Requests that were forwarded to the origin or the parent edge, by the reason and detail of Cache-Status.",
            ["reason", "detail"],
            registry=registry,
        )
        self._encodes_skipped = Counter(
            "edge_encodes_skipped_total",
            "Fetched pictures that were not encoded and stored, although they may be stored, by reason.",
            ["reason"],
            registry=registry,
        )
        self._avoided_bytes = Counter(
            "edge_origin_avoided_bytes_total",
            "Bytes of source files that hits did not have to fetch from the origin.",
            registry=registry,
        )
        self._log_lines_dropped = Counter(
            "edge_access_log_dropped_total",
            "Lines of the access log that were dropped, because the reader of stdout was too slow.",
            registry=registry,
        )
        self._known: dict[tuple[str, Outcome], tuple[Counter, Counter, Histogram]] = {}
        self._known_hits: dict[tuple[str, FileSource], Histogram] = {}
        self._known_stages: dict[str, Histogram] = {}
        for reason in NOT_ENCODED:
            self._encodes_skipped.labels(reason.label)

    def count(self, *, res: str, outcome: Outcome, seconds: float, sent_bytes: int) -> None:
        """Count one answered request by resolution and outcome, with its time and its bytes."""
        requests, sent, took = self._known.get((res, outcome)) or self._label(res, outcome)
        requests.inc()
        sent.inc(sent_bytes)
        took.observe(seconds)

    def count_hit(self, *, res: str, source: FileSource, seconds: float) -> None:
        """Record the time of one hit by resolution and by the source of its file."""
        if (res, source) not in self._known_hits:
            self._known_hits[res, source] = self._hit_seconds.labels(res, source.value)
        self._known_hits[res, source].observe(seconds)

    def observe_stages(self, timings: Timings) -> None:
        """Record the times of the steps of one request."""
        for stage in timings.stages:
            if stage.name not in self._known_stages:
                self._known_stages[stage.name] = self._stages.labels(stage.name)
            self._known_stages[stage.name].observe(stage.seconds)

    def count_forward(self, reason: Reason, detail: Reason | None) -> None:
        """Count a request that was forwarded to the origin or the parent, by the reason and the detail, if any."""
        self._forwarded.labels(reason.label, "" if detail is None else detail.label).inc()

    def count_skipped_encode(self, reason: Reason) -> None:
        """Count a picture that was served without being encoded, although it may be stored."""
        self._encodes_skipped.labels(reason.label).inc()

    def add_avoided_bytes(self, source_bytes: int) -> None:
        """Add the size of a source file that a hit did not have to fetch from the origin."""
        self._avoided_bytes.inc(source_bytes)

    def count_dropped_log_lines(self, lines: int) -> None:
        """Count access log lines that were dropped because the reader was too slow."""
        self._log_lines_dropped.inc(lines)

    def _label(self, res: str, outcome: Outcome) -> tuple[Counter, Counter, Histogram]:
        labels = (res, outcome.value)
        families = (self._requests.labels(*labels), self._sent_bytes.labels(*labels), self._seconds.labels(*labels))
        self._known[res, outcome] = families
        return families
