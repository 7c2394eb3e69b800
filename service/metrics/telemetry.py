"""What the edge counts: Prometheus metrics under one prefix. Decides nothing.

Names are those of the table in docs/operations.md. No label ever holds an id or an address: their number must stay
small. With several workers prometheus_client keeps the figures in files of a shared folder
(PROMETHEUS_MULTIPROC_DIR).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.metrics.counts import RenditionCounts, RequestCounts, StageCounts, UpstreamCounts
from service.metrics.outcomes import Outcome, ReencodeOutcome, RefinementOutcome
from service.metrics.timings import Timings
from service.reason import NOT_ENCODED, Reason

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# Assumed: from a 304 to a fill that waits for a slow origin.
SECONDS = (
    *(0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
)
STAGE_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 10.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """What the gauges of the store show."""

    objects: int
    latent_bytes: int
    conventional_bytes: int


@dataclass(frozen=True, slots=True)
class BuildFigures:
    """What a process runs: the labels of `edge_build_info`."""

    version: str
    stream_id: str
    record_version: int


def forget_worker(pid: int) -> None:
    """What a worker that has died had waiting no longer counts."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Telemetry:
    """Every metric of one worker. The observer of every adapter."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a date beside every series, which nobody reads
        registry = self._registry = CollectorRegistry()
        self._requests = RequestCounts(
            Counter("edge_cache_requests_total", "Picture requests.", ["res", "status"], registry=registry),
            Counter("edge_response_bytes_total", "Bytes of pictures sent.", ["res", "status"], registry=registry),
            Histogram("edge_request_seconds", "Time to answer.", ["res", "status"], buckets=SECONDS, registry=registry),
        )
        self._stages = StageCounts(
            Histogram("edge_stage_seconds", "Time of each step.", ["stage"], buckets=STAGE_SECONDS, registry=registry)
        )
        self.origin = UpstreamCounts(
            Counter("edge_origin_requests_total", "Fetches from the origin.", ["outcome"], registry=registry),
            Counter("edge_origin_bytes_total", "Bytes fetched from the origin.", registry=registry),
            Counter("edge_origin_retries_total", "Requests sent again on a new connection.", registry=registry),
        )
        self.parent = UpstreamCounts(
            Counter("edge_parent_requests_total", "Latents asked of the parent.", ["outcome"], registry=registry),
            Counter("edge_parent_bytes_total", "Bytes fetched from the parent.", registry=registry),
            Counter("edge_parent_retries_total", "Requests sent again on a new connection.", registry=registry),
        )
        self._encodes_skipped = Counter(
            "edge_encodes_skipped_total",
            "Pictures shown and not stored.",
            ["reason"],
            registry=registry,
        )
        self._forwarded = Counter(
            "edge_forwarded_total",
            "Requests for which the origin or the parent was asked.",
            ["reason", "detail"],
            registry=registry,
        )
        self._parent_fallbacks = Counter(
            "edge_parent_fallbacks_total", "Fills that went past the parent.", ["reason"], registry=registry
        )
        self._avoided_bytes = Counter(
            "edge_origin_avoided_bytes_total", "Bytes of the sources that hits did not fetch.", registry=registry
        )
        self.renditions = RenditionCounts(
            Counter("edge_renditions_total", "Files from latents.", ["source"], registry=registry),
            Gauge("edge_hot_bytes", "Files in memory.", registry=registry, multiprocess_mode="livesum"),
        )
        self._batch_size = Histogram(
            "edge_batch_size", "Pictures in one synthesis call.", ["size"], buckets=BATCHES, registry=registry
        )
        self._queue_depth = Gauge(
            "edge_queue_depth", "Jobs that wait for the codec.", registry=registry, multiprocess_mode="livesum"
        )
        self._store_bytes = self._store_gauge("edge_store_bytes", "Memory of the records in the store.")
        self._store_objects = self._store_gauge("edge_store_objects", "Keys in the store.")
        self._conventional_bytes = self._store_gauge(
            "edge_store_conventional_bytes", "What both renditions of the same pictures would take as JPEG files."
        )
        self._store_errors = Counter(
            "edge_store_errors_total", "Commands that the store did not answer.", registry=registry
        )
        self._record_faults = Counter(
            "edge_record_faults_total", "Records that could not be used.", ["fault"], registry=registry
        )
        self._purges = Counter(
            "edge_purges_total", "Purges that this edge was asked for.", ["scope"], registry=registry
        )
        self._devices_lost = Counter("edge_devices_lost_total", "Accelerators that failed.", registry=registry)
        self._refinements = Counter(
            "edge_refinements_total", "Searches for a better latent.", ["outcome"], registry=registry
        )
        self._reencodes = Counter(
            "edge_reencodes_total", "Latents of the previous weights to encode anew.", ["outcome"], registry=registry
        )
        self._refinement_seconds = Counter(
            "edge_refinement_seconds_total", "Time of the codec spent in them.", registry=registry
        )
        self._refined_bytes = Counter(
            "edge_refined_bytes_total",
            "Bytes of the latents that a better one replaced.",
            ["latent"],
            registry=registry,
        )
        self._log_lines_dropped = Counter(
            "edge_access_log_dropped_total", "Lines of the access log that nobody read in time.", registry=registry
        )
        # prometheus_client's Info does not work with several processes; this gauge forgets those that have ended.
        self._build = Gauge(
            "edge_build_info",
            "Always 1; the labels tell what runs.",
            ["version", "stream_id", "record_version"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        for reason in NOT_ENCODED:
            self._encodes_skipped.labels(reason.label)
        for outcome in RefinementOutcome:
            self._refinements.labels(outcome.value)
        for latent in ("first", "refined"):
            self._refined_bytes.labels(latent)
        for scope in ("id", "tag", "all"):
            self._purges.labels(scope)

    def _store_gauge(self, name: str, sentence: str) -> Gauge:
        # All workers look at the same store: the latest look counts.
        return Gauge(name, sentence, registry=self._registry, multiprocess_mode="mostrecent")

    def build(self, figures: BuildFigures) -> None:
        """Tell what this process runs."""
        self._build.labels(figures.version, figures.stream_id, str(figures.record_version)).set(1)

    def request(self, *, res: str, outcome: Outcome, seconds: float, sent_bytes: int) -> None:
        """One answered request."""
        self._requests.answered(res, outcome, seconds=seconds, sent_bytes=sent_bytes)

    def stages(self, timings: Timings) -> None:
        """The steps of one request."""
        for stage in timings.stages:
            self._stages.took(stage.name, stage.seconds)

    def forwarded(self, reason: Reason, detail: Reason | None) -> None:
        """Count a request that the store had no answer for: why, and what else there is to say of it."""
        self._forwarded.labels(reason.label, "" if detail is None else detail.label).inc()

    def encode_skipped(self, reason: Reason) -> None:
        """A picture that was shown and not stored, although it may be."""
        self._encodes_skipped.labels(reason.label).inc()

    def parent_passed_over(self, reason: str) -> None:
        """A fill went on to the origin although there is a parent."""
        self._parent_fallbacks.labels(reason).inc()

    def origin_avoided(self, source_bytes: int) -> None:
        """A hit: the source stayed where it is."""
        self._avoided_bytes.inc(source_bytes)

    def record_fault(self, fault: Reason) -> None:
        """A record that was found and could not be used."""
        self._record_faults.labels(fault.label).inc()

    def purged(self, *, scope: str) -> None:
        """By id, by tag, or all."""
        self._purges.labels(scope).inc()

    def store_failed(self) -> None:
        """The alarm: a command was not answered."""
        self._store_errors.inc()

    def store(self, figures: StoreFigures) -> None:
        """The latest look into the store."""
        self._store_objects.set(figures.objects)
        self._store_bytes.set(figures.latent_bytes)
        self._conventional_bytes.set(figures.conventional_bytes)

    def batch_done(self, *, size_px: int, items: int) -> None:
        """One synthesis call."""
        self._batch_size.labels(str(size_px)).observe(items)

    def queue_changed(self, *, items: int) -> None:
        """So many jobs wait now."""
        self._queue_depth.set(items)

    def log_lines_dropped(self, lines: int) -> None:
        """The access log was read too slowly."""
        self._log_lines_dropped.inc(lines)

    def device_lost(self) -> None:
        """The accelerator failed; the processor goes on."""
        self._devices_lost.inc()

    def refinement_stepped(self, *, seconds: float) -> None:
        """The codec has searched for so long."""
        self._refinement_seconds.inc(seconds)

    def refinement(self, outcome: RefinementOutcome) -> None:
        """One search is over."""
        self._refinements.labels(outcome.value).inc()

    def reencoded(self, outcome: ReencodeOutcome) -> None:
        """A latent of the previous weights was encoded anew, or was not."""
        self._reencodes.labels(outcome.value).inc()

    def refined(self, *, first_bytes: int, refined_bytes: int) -> None:
        """A latent was replaced by a better one."""
        self._refined_bytes.labels("first").inc(first_bytes)
        self._refined_bytes.labels("refined").inc(refined_bytes)

    def collected(self) -> Iterable[Metric]:
        """Every figure, of all workers together."""
        return self._all_workers().collect()

    def exposition(self) -> bytes:
        """The same as Prometheus reads it."""
        return generate_latest(self._all_workers())

    def _all_workers(self) -> CollectorRegistry:
        if not os.environ.get(MULTIPROCESS_VARIABLE):
            return self._registry
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return together
