"""The metrics of the shadow baseline: the hit ratio that the same memory would have with picture files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True, slots=True)
class ShadowFigures:
    """The values for the gauges of the shadow baseline. The keys are the formats of files."""

    hit_ratios: Mapping[str, float]
    errors: Mapping[str, float]
    own_hit_ratio: float | None
    files: int
    rate: float
    is_full: bool


class ShadowCounts:
    """The metrics of the shadow baseline."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, sentence: str, *labels: str) -> Gauge:
            return Gauge(name, sentence, labels, registry=registry, multiprocess_mode="mostrecent")

        self._hit_ratio = gauge(
            "edge_shadow_hit_ratio",
            "Hit ratio of the last hour with latents, and the one that the same memory would have had with files.",
            "files",
        )
        self._error = gauge(
            "edge_shadow_error", "Twice the standard error of edge_shadow_hit_ratio, by format of the files.", "files"
        )
        self._files = gauge("edge_shadow_files", "Sampled files in the larger ghost cache.")
        self._rate = gauge("edge_shadow_sampled_share", "Share of the pictures that is sampled.")
        self._full = gauge(
            "edge_shadow_full", "1 if both ghost caches have evicted files since they began empty, otherwise 0."
        )
        self._events = Counter(
            "edge_shadow_events_total",
            "Requests for sampled pictures that the ghost caches have replayed or lost.",
            ["result"],
            registry=registry,
        )
        self._measured = Counter(
            "edge_shadow_measured_total", "Sampled pictures whose files were measured.", registry=registry
        )

    def count_events(self, *, taken: int, lost: int) -> None:
        """Count replayed and lost requests for the pictures that the ghost caches sample."""
        self._events.labels("replayed").inc(taken)
        self._events.labels("lost").inc(lost)

    def count_measurement(self) -> None:
        """Count a sampled picture whose files were measured."""
        self._measured.inc()

    def set_figures(self, figures: ShadowFigures) -> None:
        """Set the gauges of the shadow baseline."""
        for name, ratio in figures.hit_ratios.items():
            self._hit_ratio.labels(name).set(ratio)
        for name, error in figures.errors.items():
            self._error.labels(name).set(error)
        if figures.own_hit_ratio is not None:
            self._hit_ratio.labels("latents").set(figures.own_hit_ratio)
        self._files.set(figures.files)
        self._rate.set(figures.rate)
        self._full.set(figures.is_full)
