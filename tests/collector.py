"""A stand-in for an OpenTelemetry collector: it takes OTLP over HTTP as protobuf, and keeps it."""

import gzip
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

_KINDS = {
    "/v1/traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
    "/v1/metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
}


@dataclass(frozen=True)
class SentSpan:
    """A span as the collector got it, with ids in hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    links: list[tuple[str, str]]
    kind: int
    failed: bool
    seconds: float
    attributes: dict[str, Any]
    resource: dict[str, Any]
    text: str
    """All of it, to look for what must not be there."""


@dataclass
class Collector:
    """What was sent so far."""

    url: str = ""
    spans: list[SentSpan] = field(default_factory=list)
    metrics: dict[str, list[Any]] = field(default_factory=dict)
    """The points that came last, by the metric's name."""
    described: dict[str, Any] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def named(self, name: str) -> list[SentSpan]:
        return [span for span in self.spans if span.name == name]

    def take(self, message: Any) -> None:
        if isinstance(message, ExportTraceServiceRequest):
            for part in message.resource_spans:
                resource = _values(part.resource.attributes)
                for scope in part.scope_spans:
                    self.spans += [_span(span, resource) for span in scope.spans]
            return
        for part in message.resource_metrics:
            self.resources.append(_values(part.resource.attributes))
            for scope in part.scope_metrics:
                for metric in scope.metrics:
                    self.described[metric.name] = metric
                    data = getattr(metric, metric.WhichOneof("data"))
                    self.metrics[metric.name] = list(data.data_points)

    def until(self, look: Any, seconds: float = 30) -> Any:
        """The first true answer of ``look``, from a thread that may wait."""
        ends = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < ends, [span.name for span in self.spans]
            time.sleep(0.02)
        return found


def values(attributes: Any) -> dict[str, Any]:
    """Attributes of a point, by name."""
    return _values(attributes)


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def _span(span: Any, resource: dict[str, Any]) -> SentSpan:
    return SentSpan(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        kind=span.kind,
        failed=span.status.code == 2,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        attributes=_values(span.attributes),
        resource=resource,
        text=str(span),
    )


@contextmanager
def collecting(port: int = 0) -> Generator[Collector]:
    """A collector that listens on loopback while the block runs."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            request, response = _KINDS[self.path]
            assert self.headers["Content-Type"] == "application/x-protobuf"
            collector.headers.append(dict(self.headers))
            collector.take(request.FromString(body))
            answer = response().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
