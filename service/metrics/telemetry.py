"""All Prometheus metrics of the edge. The table in docs/operations.md explains them.

No label holds an image id or an address, so the number of series stays small. With several workers, prometheus_client
keeps the values in files of a shared folder (PROMETHEUS_MULTIPROC_DIR).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
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

from service.metrics.counts import (
    ClientCounts,
    DemotionCounts,
    RenditionCounts,
    RequestCounts,
    StageCounts,
    UpstreamCounts,
)
from service.metrics.figure_files import share_figures
from service.metrics.outcomes import FileSource, Outcome, ReencodeOutcome, RefinementOutcome
from service.metrics.timings import Timings
from service.reason import NOT_ENCODED, Reason

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# The bounds of the buckets in seconds (assumed): they reach from a 304 to a fill that waits for a slow origin.
SECONDS = (
    *(0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
)
STAGE_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 10.0)
STORE_ERRORS = (*("timeout", "back_off", "full", "denied", "unknown_host", "tls", "read_only", "unreachable", "error"),)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """The values for the gauges of the store: its objects, and their sizes as latents and as conventional files."""

    objects: int
    screens: int
    """The pictures that are kept as screen streams."""
    latent_bytes: int
    conventional_bytes: int


@dataclass(frozen=True, slots=True)
class ShadowFigures:
    """The values for the gauges of the shadow baseline. The keys are the formats of files."""

    hit_ratios: Mapping[str, float]
    errors: Mapping[str, float]
    own_hit_ratio: float | None
    files: int
    rate: float
    is_full: bool


@dataclass(frozen=True, slots=True)
class BuildFigures:
    """The values of the labels of the metric `edge_build_info`."""

    version: str
    stream_id: str
    record_version: int


def forget_worker(pid: int) -> None:
    """Remove the gauges of the dead worker `pid`, such as its queue depth, from the sums over all workers."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Telemetry:
    """All metrics of one process. It implements the Observer protocols by which other packages report events."""

    def __init__(self) -> None:
        if os.environ.get(MULTIPROCESS_VARIABLE):
            share_figures()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a _created series for each one would double them
        registry = self._registry = CollectorRegistry()
        self._requests = RequestCounts(
            Counter(
                "edge_cache_requests_total",
                "Requests for pictures and latents, by resolution and outcome.",
                ["res", "status"],
                registry=registry,
            ),
            Counter(
                "edge_response_bytes_total",
                "Bytes of picture files and latents sent, by resolution and outcome.",
                ["res", "status"],
                registry=registry,
            ),
            Histogram(
                "edge_request_seconds",
                "Seconds from the arrival of a request until its answer is ready, by resolution and outcome.",
                ["res", "status"],
                buckets=SECONDS,
                registry=registry,
            ),
            hit_seconds=Histogram(
                "edge_hit_seconds",
                "Seconds from the arrival of a request until its answer is ready, for hits, by source of the file.",
                ["res", "source"],
                buckets=SECONDS,
                registry=registry,
            ),
        )
        self._stages = StageCounts(
            Histogram(
                "edge_stage_seconds",
                "Seconds that each step of a request took, such as store, origin, encode and file.",
                ["stage"],
                buckets=STAGE_SECONDS,
                registry=registry,
            )
        )
        self.clients = ClientCounts(
            Gauge("edge_connections", "Open connections of clients.", registry=registry, multiprocess_mode="livesum"),
            Counter(
                "edge_connections_cut_total",
                "Connections of clients that were closed because of a limit, by reason.",
                ["reason"],
                registry=registry,
            ),
            Counter(
                "edge_requests_refused_total",
                "Requests that were refused before they reached a route, by status.",
                ["status"],
                registry=registry,
            ),
            Counter(
                "edge_connections_not_accepted_total",
                "Failures to accept a new connection, by reason.",
                ["reason"],
                registry=registry,
            ),
        )
        self.origin = UpstreamCounts(
            Counter(
                "edge_origin_requests_total", "Requests to the origin, by outcome.", ["outcome"], registry=registry
            ),
            Counter("edge_origin_bytes_total", "Bytes fetched from the origin.", registry=registry),
            Counter(
                "edge_origin_retries_total",
                "Requests to the origin that were sent again, because it had closed the kept connection.",
                registry=registry,
            ),
        )
        self.parent = UpstreamCounts(
            Counter(
                "edge_parent_requests_total",
                "Requests to the parent edge, by outcome.",
                ["outcome"],
                registry=registry,
            ),
            Counter("edge_parent_bytes_total", "Bytes fetched from the parent edge.", registry=registry),
            Counter(
                "edge_parent_retries_total",
                "Requests to the parent edge that were sent again, because it had closed the kept connection.",
                registry=registry,
            ),
        )
        self._encodes_skipped = Counter(
            "edge_encodes_skipped_total",
            "Fetched pictures that were not encoded and stored, although they may be stored, by reason.",
            ["reason"],
            registry=registry,
        )
        self._forwarded = Counter(
            "edge_forwarded_total",
            "Requests that were forwarded to the origin or the parent edge, by the reason and detail of Cache-Status.",
            ["reason", "detail"],
            registry=registry,
        )
        self._parent_fallbacks = Counter(
            "edge_parent_fallbacks_total",
            "Fills that got no usable latent from the parent edge and asked the origin, by reason.",
            ["reason"],
            registry=registry,
        )
        self._avoided_bytes = Counter(
            "edge_origin_avoided_bytes_total",
            "Bytes of source files that hits did not have to fetch from the origin.",
            registry=registry,
        )
        self.renditions = RenditionCounts(
            Counter(
                "edge_renditions_total",
                "Picture files served from latents: decoded (codec), from memory, or shared with another request.",
                ["source"],
                registry=registry,
            ),
            Gauge(
                "edge_hot_bytes",
                "Bytes of picture files in the in-memory cache.",
                registry=registry,
                multiprocess_mode="livesum",
            ),
        )
        self._batch_size = Histogram(
            "edge_batch_size",
            "Pictures that were decoded together in one batch, by their size in px.",
            ["size"],
            buckets=BATCHES,
            registry=registry,
        )
        self.queue_depth = 0
        """The decodes and encodes that wait for the codec of this process."""
        self._queue_depth = Gauge(
            "edge_queue_depth",
            "Decodes and encodes that wait for the codec.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._clock_offset = self._store_gauge(
            "edge_clock_offset_seconds", "Seconds by which the clock of the store is ahead of this machine's."
        )
        self._store_bytes = self._store_gauge("edge_store_bytes", "Bytes of memory that the records take in the store.")
        self._store_objects = self._store_gauge("edge_store_objects", "Keys in the store.")
        self._store_screens = self._store_gauge(
            "edge_store_screens", "Pictures in the store that are kept as screen streams instead of latents."
        )
        self._conventional_bytes = self._store_gauge(
            "edge_store_conventional_bytes",
            "Bytes that the stored pictures would take as JPEG files, one of each size.",
        )
        self._store_errors = Counter(
            "edge_store_errors_total", "Commands to the store that failed or timed out.", ["reason"], registry=registry
        )
        self._variants_dropped = Counter(
            "edge_variants_dropped_total", "Variants deleted because their picture had too many.", registry=registry
        )
        self._record_faults = Counter(
            "edge_record_faults_total",
            "Records in the store that could not be used, by fault.",
            ["fault"],
            registry=registry,
        )
        self._purges = Counter(
            "edge_purges_total",
            "Purge requests that this edge carried out, by scope: one id, a tag, or all.",
            ["scope"],
            registry=registry,
        )
        self._devices_lost = Counter(
            "edge_devices_lost_total",
            "Accelerators (GPUs) that failed and were replaced by the CPU.",
            registry=registry,
        )
        self._refinements = Counter(
            "edge_refinements_total",
            "Searches for a better latent of a stored picture, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._reencodes = Counter(
            "edge_reencodes_total",
            "Re-encodes of latents of the previous weights, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._refinement_seconds = Counter(
            "edge_refinement_seconds_total",
            "Seconds of the codec's thread spent in searches for better latents.",
            registry=registry,
        )
        self._refined_bytes = Counter(
            "edge_refined_bytes_total",
            "Bytes of latents that a search replaced (first), and of their replacements (refined).",
            ["latent"],
            registry=registry,
        )
        self.demotions = DemotionCounts(
            Counter(
                "edge_demotions_total",
                "Cold records that were chosen for demotion to a medium latent, by outcome.",
                ["outcome"],
                registry=registry,
            ),
            Counter(
                "edge_demoted_bytes_total",
                "Bytes of latents that a demotion replaced (high), and of their replacements (medium).",
                ["latent"],
                registry=registry,
            ),
            Counter(
                "edge_generated_total",
                "Answers with a 344 picture that was generated from a medium latent.",
                registry=registry,
            ),
            Counter(
                "edge_demoted_refills_total",
                "Refills of demoted pictures that were begun because the pictures were requested again.",
                registry=registry,
            ),
        )
        self._log_lines_dropped = Counter(
            "edge_access_log_dropped_total",
            "Lines of the access log that were dropped, because the reader of stdout was too slow.",
            registry=registry,
        )
        self._shadow_hit_ratio = self._latest_gauge(
            "edge_shadow_hit_ratio",
            "Hit ratio of the last hour with latents, and the one that the same memory would have had with files.",
            "files",
        )
        self._shadow_error = self._latest_gauge(
            "edge_shadow_error", "Twice the standard error of edge_shadow_hit_ratio, by format of the files.", "files"
        )
        self._shadow_files = self._latest_gauge("edge_shadow_files", "Sampled files in the larger ghost cache.")
        self._shadow_rate = self._latest_gauge("edge_shadow_sampled_share", "Share of the pictures that is sampled.")
        self._shadow_full = self._latest_gauge(
            "edge_shadow_full", "1 if both ghost caches have evicted files since they began empty, otherwise 0."
        )
        self._shadow_events = Counter(
            "edge_shadow_events_total",
            "Requests for sampled pictures that the ghost caches have replayed or lost.",
            ["result"],
            registry=registry,
        )
        self._shadow_measured = Counter(
            "edge_shadow_measured_total", "Sampled pictures whose files were measured.", registry=registry
        )
        # A gauge, because prometheus_client's Info does not work with several processes. It ends with its process.
        self._build = Gauge(
            "edge_build_info",
            "Always 1. The labels are the version, the stream id of the weights and the record version.",
            ["version", "stream_id", "record_version"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.clients.declare()
        self.demotions.declare()
        for reason in NOT_ENCODED:
            self._encodes_skipped.labels(reason.label)
        for outcome in RefinementOutcome:
            self._refinements.labels(outcome.value)
        for latent in ("first", "refined"):
            self._refined_bytes.labels(latent)
        for error in STORE_ERRORS:
            self._store_errors.labels(error)
        for scope in ("id", "tag", "all"):
            self._purges.labels(scope)

    def _store_gauge(self, name: str, sentence: str) -> Gauge:
        # All workers measure the same store, so the most recent value counts.
        return Gauge(name, sentence, registry=self._registry, multiprocess_mode="mostrecent")

    def _latest_gauge(self, name: str, sentence: str, *labels: str) -> Gauge:
        return Gauge(name, sentence, labels, registry=self._registry, multiprocess_mode="mostrecent")

    def count_shadow_events(self, *, taken: int, lost: int) -> None:
        """Count replayed and lost requests for the pictures that the ghost caches sample."""
        self._shadow_events.labels("replayed").inc(taken)
        self._shadow_events.labels("lost").inc(lost)

    def count_shadow_measurement(self) -> None:
        """Count a sampled picture whose files were measured."""
        self._shadow_measured.inc()

    def set_shadow_figures(self, figures: ShadowFigures) -> None:
        """Set the gauges of the shadow baseline."""
        for name, ratio in figures.hit_ratios.items():
            self._shadow_hit_ratio.labels(name).set(ratio)
        for name, error in figures.errors.items():
            self._shadow_error.labels(name).set(error)
        if figures.own_hit_ratio is not None:
            self._shadow_hit_ratio.labels("latents").set(figures.own_hit_ratio)
        self._shadow_files.set(figures.files)
        self._shadow_rate.set(figures.rate)
        self._shadow_full.set(figures.is_full)

    def set_build_info(self, figures: BuildFigures) -> None:
        """Set the metric `edge_build_info` of this process to 1, with these values as labels."""
        self._build.labels(figures.version, figures.stream_id, str(figures.record_version)).set(1)

    def count_request(self, *, res: str, outcome: Outcome, seconds: float, sent_bytes: int) -> None:
        """Count one answered request by resolution and outcome, with its time and its bytes."""
        self._requests.count(res, outcome, seconds=seconds, sent_bytes=sent_bytes)

    def count_hit(self, *, res: str, source: FileSource, seconds: float) -> None:
        """Record the time of one hit by resolution and by the source of its file."""
        self._requests.count_hit(res, source, seconds=seconds)

    def observe_stages(self, timings: Timings) -> None:
        """Record the times of the steps of one request."""
        for stage in timings.stages:
            self._stages.observe(stage.name, stage.seconds)

    def count_forward(self, reason: Reason, detail: Reason | None) -> None:
        """Count a request that was forwarded to the origin or the parent, by the reason and the detail, if any."""
        self._forwarded.labels(reason.label, "" if detail is None else detail.label).inc()

    def count_skipped_encode(self, reason: Reason) -> None:
        """Count a picture that was served without being encoded, although it may be stored."""
        self._encodes_skipped.labels(reason.label).inc()

    def count_parent_fallback(self, reason: str) -> None:
        """Count a fill that got no usable latent from the parent and asked the origin, by the reason."""
        self._parent_fallbacks.labels(reason).inc()

    def add_avoided_bytes(self, source_bytes: int) -> None:
        """Add the size of a source file that a hit did not have to fetch from the origin."""
        self._avoided_bytes.inc(source_bytes)

    def count_record_fault(self, fault: Reason) -> None:
        """Count a record that was found in the store and could not be used, by the fault."""
        self._record_faults.labels(fault.label).inc()

    def count_purge(self, *, scope: str) -> None:
        """Count a purge by its scope: `id`, `tag` or `all`."""
        self._purges.labels(scope).inc()

    def count_store_error(self, reason: str) -> None:
        """Count a store command that failed, by its reason."""
        self._store_errors.labels(reason).inc()

    def count_dropped_variants(self, count: int) -> None:
        """Count variants that were deleted because their picture had too many."""
        self._variants_dropped.inc(count)

    def set_clock_offset(self, offset_s: float) -> None:
        """Set the seconds by which the clock of the store is ahead of this machine's."""
        self._clock_offset.set(offset_s)

    def set_store_figures(self, figures: StoreFigures) -> None:
        """Set the gauges of the store to the latest count of its records."""
        self._store_objects.set(figures.objects)
        self._store_screens.set(figures.screens)
        self._store_bytes.set(figures.latent_bytes)
        self._conventional_bytes.set(figures.conventional_bytes)

    def count_batch(self, *, size_px: int, items: int) -> None:
        """Count one synthesis batch and the pictures in it."""
        self._batch_size.labels(str(size_px)).observe(items)

    def set_queue_depth(self, *, items: int) -> None:
        """Set the number of decodes and encodes that wait for the codec."""
        self.queue_depth = items
        self._queue_depth.set(items)

    def count_dropped_log_lines(self, lines: int) -> None:
        """Count access log lines that were dropped because the reader was too slow."""
        self._log_lines_dropped.inc(lines)

    def count_lost_device(self) -> None:
        """Count the failure of an accelerator, after which the CPU decodes and encodes."""
        self._devices_lost.inc()

    def add_refinement_time(self, *, seconds: float) -> None:
        """Add the time that the codec's thread spent on one slice of a search for better latents."""
        self._refinement_seconds.inc(seconds)

    def count_refinement(self, outcome: RefinementOutcome) -> None:
        """Count one finished search for a better latent, by its outcome."""
        self._refinements.labels(outcome.value).inc()

    def count_reencode(self, outcome: ReencodeOutcome) -> None:
        """Count one attempt to re-encode a latent of the previous weights, by its outcome."""
        self._reencodes.labels(outcome.value).inc()

    def add_refined_bytes(self, *, first_bytes: int, refined_bytes: int) -> None:
        """Add the size of a latent that a search has replaced, and the size of the better latent."""
        self._refined_bytes.labels("first").inc(first_bytes)
        self._refined_bytes.labels("refined").inc(refined_bytes)

    def collect(self) -> Iterable[Metric]:
        """Return all metrics, summed over the workers."""
        return self._all_workers().collect()

    def exposition(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._all_workers())

    def _all_workers(self) -> CollectorRegistry:
        if not os.environ.get(MULTIPROCESS_VARIABLE):
            return self._registry
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return together
