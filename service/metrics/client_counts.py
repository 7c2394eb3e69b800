"""The metrics of clients' connections, and of the limits that close, refuse or delay them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class ClientCounts:
    """The metrics of clients' connections. All series exist from the start, so that the first event is an increase."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(
            "edge_connections", "Open connections of clients.", registry=registry, multiprocess_mode="livesum"
        )
        self._cut = Counter(
            "edge_connections_cut_total",
            "Connections of clients that were closed because of a limit, by reason.",
            ["reason"],
            registry=registry,
        )
        self._refused = Counter(
            "edge_requests_refused_total",
            "Requests that were refused before they reached a route, by status.",
            ["status"],
            registry=registry,
        )
        self._not_accepted = Counter(
            "edge_connections_not_accepted_total",
            "Failures to accept a new connection, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in ("request_timeout", "send_timeout", "too_many"):
            self._cut.labels(reason)
        for reason in ("too_many", "no_descriptors"):
            self._not_accepted.labels(reason)

    def set_open(self, count: int) -> None:
        """Set the number of open connections."""
        self._open.set(count)

    def count_cut(self, reason: str) -> None:
        """Count a connection that was closed because of a limit, by the reason."""
        self._cut.labels(reason).inc()

    def count_refused(self, status: int) -> None:
        """Count a request that was refused before it reached a route, by the status of the response."""
        self._refused.labels(str(int(status))).inc()

    def count_not_accepted(self, reason: str) -> None:
        """Count a failure to accept a new connection, by the reason."""
        self._not_accepted.labels(reason).inc()
