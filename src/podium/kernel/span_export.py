"""Sends spans in batches from a thread of their own. Imported only where they are sent."""

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from podium.kernel.outage import Outage
from podium.kernel.tracing import Tracing


def processor(url: str, outage: Outage) -> SpanProcessor:
    """What takes spans that ended; its queue is as long as ``OTEL_BSP_MAX_QUEUE_SIZE`` says."""
    return BatchSpanProcessor(_Telling(OTLPSpanExporter(endpoint=url), outage))


def tracing(to: SpanProcessor, resource: Resource) -> Tracing:
    """What makes the spans that ``to`` takes."""
    return Tracing(to, resource)


class _Telling(SpanExporter):
    """Tells of what cannot be sent once, not for each batch."""

    def __init__(self, exporter: SpanExporter, outage: Outage) -> None:
        self._exporter = exporter
        self._outage = outage

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        self._outage.note(sent=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
