"""Compute the figures of /stats from the metrics of all workers. Counts nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import Metric

from service.metrics.outcomes import COUNTED, HITS, RefinementOutcome
from service.metrics.samples import Samples
from service.records.census import StoreCensus


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
class HitFigures:
    """The hits for one size whose files came from one source, such as the in-memory cache: their number and times."""

    res: str
    source: str
    count: int
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
class ShadowFigures:
    """The hit ratio of the last hour, with latents and as the same memory would have had it with files."""

    latents: float | None
    jpeg: float | None
    avif: float | None
    jpeg_error: float | None
    """Twice the standard error of `jpeg`."""
    avif_error: float | None
    sampled_share: float
    """The share of the pictures that is sampled."""
    is_full: bool
    """Whether files had to be evicted; before that, the files' hit ratio is too good."""


@dataclass(frozen=True)
class Figures:
    """The figures of the whole edge since its start, as /stats sends them."""

    version: str
    """The version of the installed distribution."""
    requests_total: int
    hit_ratio: float | None
    """(hit + stale) / (hit + stale + revalidated + miss + collapsed); None before the first of these requests."""
    requests: list[RequestFigures]
    hits: list[HitFigures]
    origin: OriginFigures
    store: StoreCensus
    codec: CodecFigures
    stages: list[StageFigures]
    batches: list[BatchFigures]
    renditions: RenditionFigures
    refinement: RefinementFigures
    shadow: ShadowFigures
    queue_depth: int
    record_faults: int
    store_errors: int


def compute_figures(metrics: Iterable[Metric], *, version: str, store: StoreCensus, codec: CodecFigures) -> Figures:
    """Return all figures, computed from the metrics of all workers at one moment."""
    read = Samples(metrics)
    requests = _requests(read)
    outcomes = read.by_label("edge_cache_requests_total", "status")
    counted = sum(count for status, count in outcomes.items() if status in COUNTED)
    hits = sum(count for status, count in outcomes.items() if status in HITS)
    answers = read.by_label("edge_origin_requests_total", "outcome")
    return Figures(
        version=version,
        requests_total=int(sum(outcomes.values())),
        hit_ratio=hits / counted if counted else None,
        requests=requests,
        hits=_hits(read),
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
        shadow=_shadow(read),
        queue_depth=int(read.total("edge_queue_depth")),
        record_faults=int(read.total("edge_record_faults_total")),
        store_errors=int(read.total("edge_store_errors_total")),
    )


def _requests(read: Samples) -> list[RequestFigures]:
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


def _hits(read: Samples) -> list[HitFigures]:
    return [
        HitFigures(
            res=res,
            source=source,
            count=one.count,
            mean_ms=one.mean * 1000,
            p50_ms=one.quantile(0.5) * 1000,
            p99_ms=one.quantile(0.99) * 1000,
        )
        for (res, source), one in sorted(read.distributions("edge_hit_seconds", "res", "source").items())
    ]


def _renditions(read: Samples) -> RenditionFigures:
    made = read.by_label("edge_renditions_total", "source")
    return RenditionFigures(
        decoded=int(made.get("codec", 0)),
        from_memory=int(made.get("memory", 0)),
        shared=int(made.get("shared", 0)),
        memory_bytes=int(read.total("edge_hot_bytes")),
    )


def _shadow(read: Samples) -> ShadowFigures:
    ratios, errors = (
        read.by_label("edge_shadow_hit_ratio", "files"),
        read.by_label("edge_shadow_error", "files"),
    )
    return ShadowFigures(
        latents=ratios.get("latents"),
        jpeg=ratios.get("jpeg"),
        avif=ratios.get("avif"),
        jpeg_error=errors.get("jpeg"),
        avif_error=errors.get("avif"),
        sampled_share=read.total("edge_shadow_sampled_share"),
        is_full=bool(read.total("edge_shadow_full")),
    )


def _refinement(read: Samples) -> RefinementFigures:
    ended = read.by_label("edge_refinements_total", "outcome")
    latents = read.by_label("edge_refined_bytes_total", "latent")
    return RefinementFigures(
        **{outcome.value: int(ended.get(outcome.value, 0)) for outcome in RefinementOutcome},
        first_bytes=int(latents.get("first", 0)),
        refined_bytes=int(latents.get("refined", 0)),
        seconds=read.total("edge_refinement_seconds_total"),
    )
