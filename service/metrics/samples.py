"""The samples of all metrics at one moment, looked up by name and labels. Counts nothing itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import Metric


@dataclass
class Distribution:
    """The observations of a Prometheus histogram: counts by bucket, and their number and sum."""

    at_most: dict[float, float] = field(default_factory=dict)
    """The cumulative count of each bucket, by its upper bound."""
    count: int = 0
    total: float = 0.0
    """The sum of all observations."""

    @property
    def mean(self) -> float:
        """The mean of the observations, or 0 if there are none."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """Return the quantile at `share` (0 to 1), interpolated within a bucket like PromQL's histogram_quantile."""
        rank, lower, below = share * self.count, 0.0, 0.0
        for bound, cumulated in sorted(self.at_most.items()):
            if cumulated >= rank and cumulated > below:
                if bound == float("inf"):
                    return lower
                return lower + (bound - lower) * (rank - below) / (cumulated - below)
            lower, below = bound, cumulated
        return lower


class Samples:
    """The samples of all metrics at one moment, which can be looked up by the name of the metric."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._samples = [sample for metric in metrics for sample in metric.samples]

    def total(self, name: str) -> float:
        """Return the sum over all labels of a metric."""
        return sum(sample.value for sample in self._samples if sample.name == name)

    def by_labels(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the values of a metric by the values of these labels, summed over all others."""
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for sample in self._samples:
            if sample.name == name:
                sums[tuple(sample.labels[label] for label in labels)] += sample.value
        return sums

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """Return the values of a metric by the value of one label, summed over all others."""
        return {key[0]: value for key, value in self.by_labels(name, label).items()}

    def distributions(self, name: str, *labels: str) -> dict[tuple[str, ...], Distribution]:
        """Return the distributions of a histogram by the values of these labels, which have to be all its labels."""
        found: dict[tuple[str, ...], Distribution] = defaultdict(Distribution)
        for sample in self._samples:
            if sample.name not in {f"{name}_bucket", f"{name}_count", f"{name}_sum"}:
                continue
            one = found[tuple(sample.labels[label] for label in labels)]
            if sample.name.endswith("_bucket"):
                one.at_most[float(sample.labels["le"])] = sample.value
            elif sample.name.endswith("_count"):
                one.count = int(sample.value)
            else:
                one.total = sample.value
        return found

    def histograms(self, name: str, label: str) -> list[tuple[str, Distribution]]:
        """Return the distributions of a histogram with one label, sorted by its value."""
        return [(key[0], one) for key, one in sorted(self.distributions(name, label).items())]
