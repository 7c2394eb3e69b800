"""Send the metrics of all workers to an OpenTelemetry collector (EDGE_OTLP_URL), by the process that leads.

The values are those of /metrics at one moment, as cumulative sums, gauges and histograms with explicit bounds.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as Sent
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric

from service.metrics.release import DISTRIBUTION, read_version
from service.web.otlp_resource import EXPORT_S, own_resource

CUMULATIVE = AggregationTemporality.CUMULATIVE
Labels = tuple[tuple[str, str], ...]


class OtlpMetrics:
    """Sends metrics to a collector."""

    def __init__(self, url: str) -> None:
        self._exporter = OTLPMetricExporter(endpoint=f"{url}/v1/metrics", timeout=EXPORT_S)
        self._resource = own_resource()
        self._scope = InstrumentationScope(DISTRIBUTION, read_version())
        self._began_ns = time.time_ns()

    def send(self, metrics: Iterable[Metric]) -> None:
        """Send all metrics. A collector that is away is logged by the exporter."""
        sent = [one for metric in metrics if (one := convert(metric, self._began_ns, time.time_ns())) is not None]
        of_scope = ScopeMetrics(self._scope, sent, schema_url="")
        self._exporter.export(MetricsData([ResourceMetrics(self._resource, [of_scope], schema_url="")]))

    def close(self) -> None:
        """Close the connection to the collector."""
        self._exporter.shutdown()


def convert(metric: Metric, began_ns: int, now_ns: int) -> Sent | None:
    """Return a metric as OpenTelemetry has it, or None if it has no samples."""
    if not metric.samples:
        return None
    points = [
        NumberDataPoint(dict(sample.labels), began_ns, now_ns, sample.value)
        for sample in metric.samples
        if not sample.name.endswith("_created")
    ]
    data: Sum | Gauge | Histogram
    if metric.type == "histogram":
        data = Histogram(_distributions(metric, began_ns, now_ns), CUMULATIVE)
    elif metric.type == "counter":
        data = Sum(points, CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge(points)
    return Sent(metric.name, metric.documentation, unit="", data=data)


def _distributions(metric: Metric, began_ns: int, now_ns: int) -> list[HistogramDataPoint]:
    buckets: defaultdict[Labels, dict[float, float]] = defaultdict(dict)
    sums: dict[Labels, float] = {}
    for sample in metric.samples:
        labels = _without_bound(sample.labels)
        if sample.name.endswith("_bucket"):
            buckets[labels][float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    return [
        _distribution(dict(labels), sorted(at_most.items()), sums.get(labels, 0.0), (began_ns, now_ns))
        for labels, at_most in buckets.items()
    ]


def _distribution(
    labels: Mapping[str, str], at_most: list[tuple[float, float]], total: float, times_ns: tuple[int, int]
) -> HistogramDataPoint:
    counts = [round(late - early) for early, late in pairwise([0.0, *(count for _, count in at_most)])]
    return HistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=times_ns[0],
        time_unix_nano=times_ns[1],
        count=sum(counts),
        sum=total,
        bucket_counts=counts,
        explicit_bounds=[
            bound for bound, _ in at_most[:-1]
        ],  # the last one is infinity, which OpenTelemetry leaves out
        min=None,  # type: ignore[arg-type]  # unknown, and optional in the protocol
        max=None,  # type: ignore[arg-type]  # likewise
    )


def _without_bound(labels: Mapping[str, str]) -> Labels:
    return tuple((name, value) for name, value in labels.items() if name != "le")
