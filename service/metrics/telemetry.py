"""All Prometheus metrics of one process, in groups. The table in docs/operations.md explains them.

No label holds an image id or an address, so the number of series stays small. With several workers, prometheus_client
keeps the values in files of a shared folder (PROMETHEUS_MULTIPROC_DIR).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge, Metric, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.metrics.client_counts import ClientCounts
from service.metrics.codec_counts import CodecCounts, RenditionCounts
from service.metrics.figure_files import share_figures
from service.metrics.latent_counts import DemotionCounts, RefinementCounts
from service.metrics.request_counts import RequestCounts
from service.metrics.shadow_counts import ShadowCounts
from service.metrics.store_counts import StoreCounts
from service.metrics.upstream_counts import OriginCounts, ParentCounts

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


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
    """All metrics of one process. Each part of the edge gets the group that it counts in."""

    def __init__(self) -> None:
        if os.environ.get(MULTIPROCESS_VARIABLE):
            share_figures()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a _created series for each one would double them
        registry = self._registry = CollectorRegistry()
        self.requests = RequestCounts(registry)
        self.clients = ClientCounts(registry)
        self.origin = OriginCounts(registry)
        self.parent = ParentCounts(registry)
        self.store = StoreCounts(registry)
        self.codec = CodecCounts(registry)
        self.renditions = RenditionCounts(registry)
        self.refinements = RefinementCounts(registry)
        self.demotions = DemotionCounts(registry)
        self.shadow = ShadowCounts(registry)
        # A gauge, because prometheus_client's Info does not work with several processes. It ends with its process.
        self._build = Gauge(
            "edge_build_info",
            "Always 1. The labels are the version, the stream id of the weights and the record version.",
            ["version", "stream_id", "record_version"],
            registry=registry,
            multiprocess_mode="livemax",
        )

    def set_build_info(self, figures: BuildFigures) -> None:
        """Set the metric `edge_build_info` of this process to 1, with these values as labels."""
        self._build.labels(figures.version, figures.stream_id, str(figures.record_version)).set(1)

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
