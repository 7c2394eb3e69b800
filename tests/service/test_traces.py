"""OTLP: what a collector gets of a request and of the metrics, and what the origin gets of a trace."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.metrics.export import Histogram
from starlette.types import ASGIApp, Receive, Scope, Send

from service.metrics.outcomes import Outcome
from service.metrics.telemetry import Telemetry
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from service.web import traced_pictures
from service.web.otlp_metrics import convert
from service.web.traced_pictures import TracedPictures
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin

FRESH = {"Cache-Control": "max-age=600"}
LIMIT_S = 60
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@dataclass
class Collector:
    """A collector that keeps what it gets."""

    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.changed:
            for resource in request.resource_spans:
                self.names |= {
                    one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
                }
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.changed.notify_all()

    def take_metrics(self, body: bytes) -> None:
        request = ExportMetricsServiceRequest.FromString(body)
        with self.changed:
            for resource in request.resource_metrics:
                self.metrics |= {one.name: one for scope in resource.scope_metrics for one in scope.metrics}
            self.changed.notify_all()

    def wait_for(self, path: str) -> Span:
        """Return the span of the request for this path."""

        def found() -> Span | None:
            return next((one for one in self.spans if attributes(one).get("url.path") == path), None)

        with self.changed:
            assert self.changed.wait_for(lambda: found() is not None, timeout=LIMIT_S)
            span = found()
        assert span is not None
        return span

    def children(self, parent: Span) -> list[Span]:
        return [one for one in self.spans if one.parent_span_id == parent.span_id]


def attributes(span: Span) -> dict[str, object]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["content-type"] == "application/x-protobuf"
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            {"/v1/traces": collector.take, "/v1/metrics": collector.take_metrics}[self.path](body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield collector, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Story:
    edge: RunningEdge
    origin: ScriptedOrigin
    collector: Collector


@pytest.fixture(scope="module")
def story(collector: tuple[Collector, str], session_valkey: EmbeddedValkey) -> Iterator[Story]:
    with pytest.MonkeyPatch.context() as patched, ScriptedOrigin() as origin:
        patched.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        settings = read_settings(origin=origin.url, redis_url=session_valkey.url, otlp_url=collector[1])
        with running_edge(settings) as edge:
            yield Story(edge, origin, collector[0])


def test_a_trace_goes_on_to_the_origin(story: Story, photo: bytes) -> None:
    story.origin.script("/cat", Reply(photo, headers=FRESH))
    answer = story.edge.get("/image/cat", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    assert answer.status_code == 200
    span = story.collector.wait_for("/image/cat")
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == CALLER
    (fetch,) = (one for one in story.origin.requests if one.path == "/cat")
    assert fetch.headers["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert story.collector.names == {"latentedge"}


@pytest.mark.parametrize("state", ["\x9b31m no state", "x" * 9000, ",".join(f"a{number}=1" for number in range(99))])
def test_an_invalid_tracestate_costs_no_line_of_the_log(
    story: Story, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": state.encode("latin-1")}
    assert story.edge.get(f"/image/..;/{len(state)}", headers=headers).status_code == 400
    assert story.collector.wait_for(f"/image/..;/{len(state)}").trace_id.hex() == TRACE
    assert not [one for one in caplog.records if one.name.startswith("opentelemetry.trace")]


def test_a_span_has_a_child_for_each_stage(story: Story, photo: bytes) -> None:
    story.origin.script("/dog", Reply(photo, headers=FRESH))
    timing = story.edge.get("/image/dog").headers["server-timing"]
    span = story.collector.wait_for("/image/dog")
    stages = story.collector.children(span)
    assert [one.name for one in stages] == [part.partition(";")[0] for part in timing.split(", ")]
    assert {"store", "origin", "encode", "synthesis"} <= {one.name for one in stages}
    assert all(span.start_time_unix_nano <= one.start_time_unix_nano <= one.end_time_unix_nano for one in stages)
    told = attributes(span)
    assert told["http.response.status_code"] == 200
    assert told["http.route"] == "/image/{id}"
    assert "fwd=uri-miss" in str(told["cache.status"])
    assert not span.parent_span_id, "nobody has sent a trace"


def test_a_collector_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced_pictures, "EXPORT_S", 0.05)
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    spans: int = 1000
    asked: list[socket.socket] = []

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):  # the end of the test
            while True:
                asked.append(listening.accept()[0])

    async def answer_nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pass

    async def ask(app: ASGIApp) -> None:
        for _ in range(spans):
            await app({"type": "http", "method": "GET", "path": "/image/a", "headers": []}, None, None)  # type: ignore[arg-type]

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, args=(listening,))
        thread.start()
        traced = TracedPictures(answer_nothing, f"http://127.0.0.1:{listening.getsockname()[1]}")
        asyncio.run(ask(traced))
        traced.close()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in asked:
        connection.close()
    assert len(asked) < spans, "the collector was waited for with every span"


def test_an_error_of_the_edge_is_an_error_of_the_span(story: Story) -> None:
    story.origin.script("/broken", Reply(status=500))
    assert story.edge.get("/image/broken").status_code >= 500
    assert story.collector.wait_for("/image/broken").status.code == 2


def test_a_collector_gets_the_metrics(story: Story) -> None:
    with story.collector.changed:
        assert story.collector.changed.wait_for(lambda: bool(story.collector.metrics), timeout=LIMIT_S)
        metrics = dict(story.collector.metrics)
    assert metrics["edge_store_errors"].sum.is_monotonic
    assert metrics["edge_queue_depth"].gauge.data_points[0].as_double == 0
    assert metrics["edge_build_info"].description.startswith("Always 1.")


def test_a_histogram_keeps_its_buckets() -> None:
    telemetry = Telemetry()
    for seconds in (0.0005, 0.0015, 0.0016, 100):
        telemetry.requests.count(res="high", outcome=Outcome.HIT, seconds=seconds, sent_bytes=1)
    (metric,) = (one for one in telemetry.collect() if one.name == "edge_request_seconds")
    sent = convert(metric, 1, 2)
    assert sent is not None
    assert isinstance(sent.data, Histogram)
    (point,) = sent.data.data_points
    assert point.count == 4
    assert list(point.bucket_counts)[:3] == [1, 2, 0]
    assert point.bucket_counts[-1] == 1
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert point.sum == pytest.approx(100.0036)
    assert point.attributes == {"res": "high", "status": "hit"}


def test_without_a_collector_nothing_is_passed_on(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    edge.get("/image/cat", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    (fetch,) = origin.requests
    assert "traceparent" not in {name.lower() for name in fetch.headers}
