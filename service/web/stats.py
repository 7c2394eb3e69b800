"""Compute the figures of /stats from the metrics of all workers. Counts nothing itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import Metric

from service.metrics.outcomes import Outcome, RefinementOutcome
from service.records.census import StoreCensus

# In the hit ratio, a collapsed request is no hit, because it waited for the origin. Bypass and error are not counted,
# because no cache could have answered them.
_HITS = {Outcome.HIT, Outcome.STALE}
_COUNTED = _HITS | {Outcome.REVALIDATED, Outcome.MISS, Outcome.COLLAPSED}


@dataclass(frozen=True)
class CodecFigures:
    """The codec in use: its device, networks, weights and quality."""

    device: str
    """The device that decodes: `cpu` or a GPU."""
    head: str
    """The network that decodes the 344 picture, such as `high-cpu`."""
    kernels: str
    """The number formats of the decoder's matrix products."""
    stream_id: str
    """The id of the weights in use, as hexadecimal digits."""
    quality: int | None
    """The quality of every encode; None if the codec chooses a quality for each picture."""
    target_ssimulacra2: float | None
    """The SSIMULACRA2 score for which the codec chooses the quality of each picture; None with a fixed quality."""


@dataclass(frozen=True)
class RequestFigures:
    """The requests for one size that had one outcome: their number, bytes and times."""

    res: str
    status: str
    count: int
    sent_bytes: int
    mean_ms: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class OriginFigures:
    """The requests to the origin, the bytes fetched from it, and the bytes that hits did not have to fetch."""

    requests: int
    failures: int
    fetched_bytes: int
    avoided_bytes: int


@dataclass(frozen=True)
class StageFigures:
    """How often one stage of requests, such as a decode, was run, and its mean time."""

    stage: str
    count: int
    mean_ms: float


@dataclass(frozen=True)
class BatchFigures:
    """The number of batches in which pictures of one size were decoded, and their mean number of pictures."""

    size: str
    count: int
    mean_items: float


@dataclass(frozen=True)
class RefinementFigures:
    """The searches for better latents by outcome, and the total bytes of improved latents before and after."""

    stored: int
    unchanged: int
    superseded: int
    refused: int
    failed: int
    first_bytes: int
    refined_bytes: int
    seconds: float


@dataclass(frozen=True)
class RenditionFigures:
    """The picture files by source: decoded, from the in-memory cache, or shared with another request's decode."""

    decoded: int
    from_memory: int
    shared: int
    memory_bytes: int


@dataclass(frozen=True)
class Figures:
    """The figures of the whole edge since its start, as /stats sends them."""

    version: str
    """The version of the installed distribution."""
    requests_total: int
    hit_ratio: float | None
    """(hit + stale) / (hit + stale + revalidated + miss + collapsed); None before the first of these requests."""
    requests: list[RequestFigures]
    origin: OriginFigures
    store: StoreCensus
    codec: CodecFigures
    stages: list[StageFigures]
    batches: list[BatchFigures]
    renditions: RenditionFigures
    refinement: RefinementFigures
    queue_depth: int
    record_faults: int
    store_errors: int


def compute_figures(metrics: Iterable[Metric], *, version: str, store: StoreCensus, codec: CodecFigures) -> Figures:
    """Return all figures, computed from the metrics of all workers at one moment."""
    read = _Samples(metrics)
    requests = _requests(read)
    outcomes = read.by_label("edge_cache_requests_total", "status")
    counted = sum(count for status, count in outcomes.items() if status in _COUNTED)
    hits = sum(count for status, count in outcomes.items() if status in _HITS)
    answers = read.by_label("edge_origin_requests_total", "outcome")
    return Figures(
        version=version,
        requests_total=int(sum(outcomes.values())),
        hit_ratio=hits / counted if counted else None,
        requests=requests,
        origin=OriginFigures(
            requests=int(sum(answers.values())),
            failures=int(sum(answers.values()) - answers.get("ok", 0) - answers.get("not_modified", 0)),
            fetched_bytes=int(read.total("edge_origin_bytes_total")),
            avoided_bytes=int(read.total("edge_origin_avoided_bytes_total")),
        ),
        store=store,
        codec=codec,
        stages=[
            StageFigures(stage=stage, count=one.count, mean_ms=one.mean * 1000)
            for stage, one in read.histograms("edge_stage_seconds", "stage")
        ],
        batches=[
            BatchFigures(size=size, count=one.count, mean_items=one.mean)
            for size, one in read.histograms("edge_batch_size", "size")
        ],
        renditions=_renditions(read),
        refinement=_refinement(read),
        queue_depth=int(read.total("edge_queue_depth")),
        record_faults=int(read.total("edge_record_faults_total")),
        store_errors=int(read.total("edge_store_errors_total")),
    )


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


def _requests(read: _Samples) -> list[RequestFigures]:
    sent = read.by_labels("edge_response_bytes_total", "res", "status")
    return [
        RequestFigures(
            res=res,
            status=status,
            count=one.count,
            sent_bytes=int(sent.get((res, status), 0)),
            mean_ms=one.mean * 1000,
            p50_ms=one.quantile(0.5) * 1000,
            p99_ms=one.quantile(0.99) * 1000,
        )
        for (res, status), one in sorted(read.distributions("edge_request_seconds", "res", "status").items())
    ]


def _renditions(read: _Samples) -> RenditionFigures:
    made = read.by_label("edge_renditions_total", "source")
    return RenditionFigures(
        decoded=int(made.get("codec", 0)),
        from_memory=int(made.get("memory", 0)),
        shared=int(made.get("shared", 0)),
        memory_bytes=int(read.total("edge_hot_bytes")),
    )


def _refinement(read: _Samples) -> RefinementFigures:
    ended = read.by_label("edge_refinements_total", "outcome")
    latents = read.by_label("edge_refined_bytes_total", "latent")
    return RefinementFigures(
        **{outcome.value: int(ended.get(outcome.value, 0)) for outcome in RefinementOutcome},
        first_bytes=int(latents.get("first", 0)),
        refined_bytes=int(latents.get("refined", 0)),
        seconds=read.total("edge_refinement_seconds_total"),
    )


class _Samples:
    """The samples of all metrics at one moment, which can be looked up by the name of the metric."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._samples = [sample for metric in metrics for sample in metric.samples]

    def total(self, name: str) -> float:
        return sum(sample.value for sample in self._samples if sample.name == name)

    def by_labels(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for sample in self._samples:
            if sample.name == name:
                sums[tuple(sample.labels[label] for label in labels)] += sample.value
        return sums

    def by_label(self, name: str, label: str) -> dict[str, float]:
        return {key[0]: value for key, value in self.by_labels(name, label).items()}

    def distributions(self, name: str, *labels: str) -> dict[tuple[str, ...], Distribution]:
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
        return [(key[0], one) for key, one in sorted(self.distributions(name, label).items())]
