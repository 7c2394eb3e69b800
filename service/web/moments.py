"""Compute the figures of the page over time: the totals at a moment, and the changes between two moments. No I/O."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from prometheus_client import Metric

from service.metrics.outcomes import COUNTED, HITS, FileSource, Outcome
from service.metrics.request_counts import SECONDS as BOUNDS
from service.metrics.samples import Distribution, Samples
from service.rendition import RENDITIONS
from service.web.history import Row

SIZES = tuple(rendition.name for rendition in RENDITIONS)
KINDS = ("memory", "decoded", "miss")
"""The kinds of requests whose times are shown separately: hits from memory, decoded hits, and misses."""
_BUCKETS = (*BOUNDS, float("inf"))
_REQUESTS = tuple((size, outcome) for size in SIZES for outcome in Outcome)
_TIMES = tuple((size, kind) for size in SIZES for kind in KINDS)
_TOTALS = {
    "sent_bytes": "edge_response_bytes_total",
    "fetched_bytes": "edge_origin_bytes_total",
    "avoided_bytes": "edge_origin_avoided_bytes_total",
}
_LEVELS = {
    "queue": "edge_queue_depth",
    "connections": "edge_connections",
    "latent_bytes": "edge_store_bytes",
    "files_bytes": "edge_store_conventional_bytes",
}
_SHADOWS = ("latents", "jpeg", "avif")
WIDTH = len(_REQUESTS) + len(_TIMES) * len(_BUCKETS) + len(_TOTALS) + len(_SHADOWS) + len(_LEVELS)


def read_moment(metrics: Iterable[Metric]) -> list[float]:
    """Return the WIDTH totals of this moment from the metrics of all workers."""
    read = Samples(metrics)
    requests = read.by_labels("edge_cache_requests_total", "res", "status")
    values = [requests.get((size, outcome), 0.0) for size, outcome in _REQUESTS]
    times = _read_times(read)
    for key in _TIMES:
        values += [times[key].at_most.get(bound, 0.0) for bound in _BUCKETS]
    values += [read.total(name) for name in _TOTALS.values()]
    shadows = read.by_label("edge_shadow_hit_ratio", "files")
    values += [shadows.get(name, math.nan) for name in _SHADOWS]
    values += [read.total(name) for name in _LEVELS.values()]
    return values


def _read_times(read: Samples) -> Mapping[tuple[str, str], Distribution]:
    hits = read.distributions("edge_hit_seconds", "res", "source")
    others = read.distributions("edge_request_seconds", "res", "status")
    none = Distribution()
    times = {}
    for size in SIZES:
        times[size, "memory"] = hits.get((size, FileSource.MEMORY), none)
        times[size, "decoded"] = hits.get((size, FileSource.CODEC), none)
        times[size, "miss"] = others.get((size, Outcome.MISS), none)
    return times


def points(rows: Sequence[Row], *, after_s: float, window_s: float = 0) -> list[dict[str, Any]]:
    """Return the changes from each row to the next, for the rows after this moment.

    Times to answer are those of the `window_s` seconds before a row, or of the pair if that is longer: with a few
    requests a second, the quantiles of single seconds are dots without a line.
    """
    return [
        _point(before, now, since=_since(rows[: index + 1], now.at_s - window_s))
        for index, (before, now) in enumerate(pairwise(rows))
        if now.at_s > after_s
    ]


def _since(rows: Sequence[Row], at_s: float) -> Row:
    """Return the first of the rows that is not before this moment, or the last of all."""
    return rows[min(bisect_left(rows, at_s, key=lambda row: row.at_s), len(rows) - 1)]


def _changes(before: Row, now: Row) -> Iterator[float]:
    # A total falls only if the figures were reset, which is no change.
    return iter([max(0.0, late - early) for early, late in zip(before.values, now.values, strict=True)])


def _point(before: Row, now: Row, *, since: Row) -> dict[str, Any]:
    changes, in_window = _changes(before, now), islice(_changes(since, now), len(_REQUESTS), None)
    requests: dict[str, dict[str, float]] = {size: {} for size in SIZES}
    for size, outcome in _REQUESTS:
        requests[size][outcome.value] = next(changes)
    latency: dict[str, dict[str, list[float] | None]] = {size: {} for size in SIZES}
    for size, kind in _TIMES:
        latency[size][kind] = _quantiles_ms(list(islice(in_window, len(_BUCKETS))))
    changes = islice(changes, len(_TIMES) * len(_BUCKETS), None)
    totals = {name: next(changes) for name in _TOTALS}
    shadows = now.values[-len(_LEVELS) - len(_SHADOWS) : -len(_LEVELS)]
    levels = dict(zip(_LEVELS, now.values[-len(_LEVELS) :], strict=True))
    return {
        "at_s": now.at_s,
        "span_s": now.at_s - before.at_s,
        "hit_ratio": _hit_ratio(requests),
        "requests": requests,
        "latency_ms": latency,
        "shadow": {name: None if math.isnan(one) else one for name, one in zip(_SHADOWS, shadows, strict=True)},
        **totals,
        **levels,
    }


def _hit_ratio(requests: Mapping[str, Mapping[str, float]]) -> float | None:
    counted = sum(one[outcome] for one in requests.values() for outcome in COUNTED)
    return sum(one[outcome] for one in requests.values() for outcome in HITS) / counted if counted else None


def _quantiles_ms(at_most: Sequence[float]) -> list[float] | None:
    """Return the median and the 99 % quantile in milliseconds, or None without a request."""
    if not at_most[-1]:
        return None
    times = Distribution(dict(zip(_BUCKETS, at_most, strict=True)), count=int(at_most[-1]))
    return [round(times.quantile(share) * 1000, 2) for share in (0.5, 0.99)]
