"""The metrics of the store: its contents, its failures, faulty records, and purges."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.reason import Reason

STORE_ERRORS = ("timeout", "back_off", "full", "denied", "unknown_host", "tls", "read_only", "unreachable", "error")


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """The values for the gauges of the store: its objects, and their sizes as latents and as conventional files."""

    objects: int
    screens: int
    """The pictures that are kept as screen streams."""
    latent_bytes: int
    conventional_bytes: int


class StoreCounts:
    """The metrics of the store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, sentence: str) -> Gauge:
            # All workers measure the same store, so the most recent value counts.
            return Gauge(name, sentence, registry=registry, multiprocess_mode="mostrecent")

        self._clock_offset = gauge(
            "edge_clock_offset_seconds", "Seconds by which the clock of the store is ahead of this machine's."
        )
        self._bytes = gauge("edge_store_bytes", "Bytes of memory that the records take in the store.")
        self._objects = gauge("edge_store_objects", "Keys in the store.")
        self._screens = gauge(
            "edge_store_screens", "Pictures in the store that are kept as screen streams instead of latents."
        )
        self._conventional_bytes = gauge(
            "edge_store_conventional_bytes",
            "Bytes that the stored pictures would take as JPEG files, one of each size.",
        )
        self._errors = Counter(
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
        for error in STORE_ERRORS:
            self._errors.labels(error)
        for scope in ("id", "tag", "all"):
            self._purges.labels(scope)

    def set_clock_offset(self, offset_s: float) -> None:
        """Set the seconds by which the clock of the store is ahead of this machine's."""
        self._clock_offset.set(offset_s)

    def set_figures(self, figures: StoreFigures) -> None:
        """Set the gauges of the store to the latest count of its records."""
        self._objects.set(figures.objects)
        self._screens.set(figures.screens)
        self._bytes.set(figures.latent_bytes)
        self._conventional_bytes.set(figures.conventional_bytes)

    def count_store_error(self, reason: str) -> None:
        """Count a store command that failed, by its reason."""
        self._errors.labels(reason).inc()

    def count_dropped_variants(self, count: int) -> None:
        """Count variants that were deleted because their picture had too many."""
        self._variants_dropped.inc(count)

    def count_record_fault(self, fault: Reason) -> None:
        """Count a record that was found in the store and could not be used, by the fault."""
        self._record_faults.labels(fault.label).inc()

    def count_purge(self, *, scope: str) -> None:
        """Count a purge by its scope: `id`, `tag` or `all`."""
        self._purges.labels(scope).inc()
