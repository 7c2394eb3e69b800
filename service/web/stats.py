"""The figures of all workers together, as the page at / reads them. Computed from the metrics; counts nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import Metric

from service.metrics.outcomes import Outcome, RefinementOutcome
from service.records.census import StoreCensus

# A collapsed request waited for the origin: it is no hit. Bypass and error say nothing about the cache.
_HITS = {Outcome.HIT, Outcome.STALE}
_COUNTED = _HITS | {Outcome.REVALIDATED, Outcome.MISS, Outcome.COLLAPSED}


@dataclass(frozen=True)
class CodecFigures:
    """What decodes here."""

    device: str
    head: str
    """The network that makes the 344 picture."""
    kernels: str
    """The number formats of its matrix products."""
    stream_id: str
    quality: int | None
    """None where each picture has its own, by this score:"""
    target_ssimulacra2: float | None


@dataclass(frozen=True)
class RequestFigures:
    """The requests of one size with one outcome."""

    res: str
    status: str
    count: int
    sent_bytes: int
    mean_ms: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class OriginFigures:
    """What the origin had to do, and what it was spared."""

    requests: int
    failures: int
    fetched_bytes: int
    avoided_bytes: int


@dataclass(frozen=True)
class StageFigures:
    """One step of answering."""

    stage: str
    count: int
    mean_ms: float


@dataclass(frozen=True)
class BatchFigures:
    """Synthesis calls of one size."""

    size: str
    count: int
    mean_items: float


@dataclass(frozen=True)
class RefinementFigures:
    """Searches for better latents by how they ended, and what those that were stored came to."""

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
    """Files made of latents, found in memory, made for another request; and what is in memory now."""

    decoded: int
    from_memory: int
    shared: int
    memory_bytes: int


@dataclass(frozen=True)
class Figures:
    """All of it."""

    version: str
    """Of the installed distribution."""
    requests_total: int
    hit_ratio: float | None
    """(hit + stale) / (hit + stale + revalidated + miss + collapsed)"""
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


def figures(metrics: Iterable[Metric], *, version: str, store: StoreCensus, codec: CodecFigures) -> Figures:
    """Everything at this moment."""
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
    """A histogram: how many observations were at most so much."""

    at_most: dict[float, float] = field(default_factory=dict)
    count: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float:
        """0 where nothing was observed."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """Interpolated within the bucket, as PromQL's histogram_quantile does."""
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
    """The samples of a scrape by name."""

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
