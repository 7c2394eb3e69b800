"""The metrics of fetches from the origin and from the parent edge."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class UpstreamCounts:
    """The metrics of fetches from one upstream server: the origin or the parent."""

    def __init__(self, requests: Counter, fetched_bytes: Counter, retries: Counter) -> None:
        self._requests = requests
        self._bytes = fetched_bytes
        self._retries = retries

    def count_fetch(self, *, outcome: str, fetched_bytes: int) -> None:
        """Count one fetch by its outcome: `ok`, `not_modified` or the label of an error."""
        self._requests.labels(outcome).inc()
        self._bytes.inc(fetched_bytes)

    def count_retry(self) -> None:
        """Count a request that was sent again on a new connection, because the server had closed the kept one."""
        self._retries.inc()


class OriginCounts(UpstreamCounts):
    """The metrics of fetches from the origin."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(
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


class ParentCounts(UpstreamCounts):
    """The metrics of fetches from the parent edge."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(
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
        self._fallbacks = Counter(
            "edge_parent_fallbacks_total",
            "Fills that got no usable latent from the parent edge and asked the origin, by reason.",
            ["reason"],
            registry=registry,
        )

    def count_fallback(self, reason: str) -> None:
        """Count a fill that got no usable latent from the parent and asked the origin, by the reason."""
        self._fallbacks.labels(reason).inc()
