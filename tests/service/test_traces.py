"""Traces over OTLP: what a collector gets of a request, and what the origin gets of a trace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin

FRESH = {"Cache-Control": "max-age=600"}
LIMIT_S = 60
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@dataclass
class Collector:
    """A collector that keeps what it gets."""

    spans: list[Span] = field(default_factory=list)
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
            assert self.path == "/v1/traces"
            assert self.headers["content-type"] == "application/x-protobuf"
            collector.take(self.rfile.read(int(self.headers["content-length"])))
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


def test_an_error_of_the_edge_is_an_error_of_the_span(story: Story) -> None:
    story.origin.script("/broken", Reply(status=500))
    assert story.edge.get("/image/broken").status_code >= 500
    assert story.collector.wait_for("/image/broken").status.code == 2


def test_without_a_collector_nothing_is_passed_on(edge: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    edge.get("/image/cat", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    (fetch,) = origin.requests
    assert "traceparent" not in {name.lower() for name in fetch.headers}
