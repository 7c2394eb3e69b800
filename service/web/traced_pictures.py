"""Write one span for each request for a picture, with a child for each of its stages (EDGE_OTLP_URL).

This wraps the application for pictures, so an edge without traces runs nothing of it. All that a span says is in the
response: its status, Cache-Status, and Server-Timing with the stages. The stages follow each other from the beginning
of the request; what lies between them is not measured.

The exporter sends from a thread of its own and drops what its queue has no room for. OTEL_* variables apply, such as
OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics.release import DISTRIBUTION, read_version
from service.rules.traceparent import TRACEPARENT
from service.web.otlp_resource import EXPORT_S, own_resource

_MS_NS = 1_000_000
_FAULT = 500
_CARRIED = ("traceparent", "tracestate")


class TracedPictures:
    """An ASGI application that writes a span for each request which another application answers."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        """`url` is the address of an OTLP collector over HTTP."""
        self._app = app
        # The propagator would log each invalid tracestate, which may be 8 KiB of the client's text in every request.
        logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)
        self._exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=EXPORT_S)
        self._provider = TracerProvider(resource=own_resource())
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer(DISTRIBUTION, read_version())
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and write its span."""
        began_ns = time.time_ns()
        parent = self._propagator.extract(_read_carrier(scope["headers"]))
        span = self._tracer.start_span(
            f"{scope['method']} {_route(scope)}",
            context=parent,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "http.route": _route(scope), "url.path": scope["path"]},
            start_time=began_ns,
        )
        inside = set_span_in_context(span, parent)
        token = TRACEPARENT.set(self._write_traceparent(inside))

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._describe(span, message, inside, began_ns)
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            TRACEPARENT.reset(token)
            span.end()

    def close(self) -> None:
        """Send what waits to be sent. This may block for twice EXPORT_S; what has not been sent then is dropped."""
        # The processor sends every batch, and waits EXPORT_S for each if the collector hangs: 10 s for a full queue.
        cut = threading.Timer(EXPORT_S, self._exporter.shutdown)
        cut.start()
        self._provider.shutdown()
        cut.cancel()

    def _write_traceparent(self, context: Context) -> bytes:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context)
        return carrier.get("traceparent", "").encode("ascii")

    def _describe(self, span: Span, start: Message, inside: Context, began_ns: int) -> None:
        headers = dict(start["headers"])
        span.set_attribute("http.response.status_code", int(start["status"]))
        if b"cache-status" in headers:
            span.set_attribute("cache.status", headers[b"cache-status"].decode("latin-1"))
        if start["status"] >= _FAULT:
            span.set_status(StatusCode.ERROR)
        at_ns = began_ns
        for name, duration_ms in _read_stages(headers.get(b"server-timing", b"").decode("latin-1")):
            stage = self._tracer.start_span(name, context=inside, start_time=at_ns)
            at_ns += round(duration_ms * _MS_NS)
            stage.end(end_time=at_ns)


def _read_carrier(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    return {name: named[name] for name in _CARRIED if name in named}


def _route(scope: Scope) -> str:
    return f"/{scope['path'].split('/')[1]}/{{id}}"


def _read_stages(field: str) -> list[tuple[str, float]]:
    """Return the stages of a Server-Timing field and their milliseconds."""
    members = (member.strip().partition(";dur=") for member in field.split(",") if ";dur=" in member)
    return [(name, float(duration)) for name, _, duration in members]
