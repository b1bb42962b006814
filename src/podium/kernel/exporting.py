"""Sends traces and metrics of this process by OTLP over HTTP, where a collector is named.

Nothing here may slow or break what is told of: spans are queued in memory and dropped when the
queue is full, sending is the business of daemon threads, and a collector that is away is told of
once in the log. Without a collector none of OpenTelemetry's SDK is imported; it need not be
installed.
"""

import asyncio
import os
import queue
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from podium import __version__
from podium.kernel import background
from podium.kernel.ids import uuid7
from podium.kernel.outage import Heard, Outage, Signal, listen
from podium.kernel.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import (
        MetricExporter,
        MetricExportResult,
        MetricsData,
    )
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor

    from podium.kernel.tracing import Tracing

_log = structlog.get_logger(__name__)

_METRIC_SECONDS = 60.0
_CLOSE_SECONDS = 2.0
"""What a process that ends gives to the last spans and metrics."""
_PROTOCOL = "http/protobuf"


def endpoint(settings: Settings, signal: Signal) -> str | None:
    """Where this signal is sent, by our own setting or the variables of OpenTelemetry; None when
    it is not."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp").strip().lower() != "otlp":
        return None
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    base = settings.otlp_endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return own or (f"{base.rstrip('/')}/v1/{signal}" if base else None)


def start(settings: Settings, process: str) -> "Exporting | None":
    """What sends the telemetry of this process, named ``process``; None when none is sent."""
    traces, metrics = endpoint(settings, "traces"), endpoint(settings, "metrics")
    if not traces and not metrics:
        return None
    asked = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", _PROTOCOL)
    if asked != _PROTOCOL:
        _log.warning("telemetry.protocol_unknown", asked=asked, used=_PROTOCOL)
    if find_spec("opentelemetry.exporter") is None:
        _log.warning("telemetry.not_installed", hint="pip install 'podium[otlp]'")
        return None
    _log.info("telemetry.is_sent", traces=traces, metrics=metrics)
    return Exporting(traces, metrics, process)


class Exporting:
    """Sends what there is of traces and metrics until it is closed."""

    def __init__(self, traces: str | None, metrics: str | None, process: str) -> None:
        heard = listen()
        resource = _resource(process)
        self.tracing: Tracing | None = None
        self._processor: SpanProcessor | None = None
        self._meter = _Meter(metrics, resource, heard) if metrics else None
        if traces:
            from podium.kernel import span_export

            self._processor = span_export.processor(traces, Outage("traces", heard))
            self.tracing = span_export.tracing(self._processor, resource)

    def measure(
        self,
        registries: Sequence[CollectorRegistry] = (),
        refresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Begin to send the metrics of the process and of these registries; ``refresh`` brings
        those up to date that somebody must ask for."""
        if self._meter is not None:
            self._meter.begin([*registries, REGISTRY], refresh)

    async def close(self) -> None:
        """Send what is left, for two seconds at most."""
        if self._meter is not None:
            await self._meter.end()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def finish() -> None:
            if self._processor is not None:
                self._processor.shutdown()
            if self._meter is not None:
                self._meter.join()
            with suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(ended.set)

        # A thread of the loop's own pool would be waited for when the process ends.
        threading.Thread(target=finish, daemon=True).start()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await ended.wait()
        except TimeoutError:
            _log.warning("telemetry.left_unsent", after_seconds=_CLOSE_SECONDS)


class _Meter:
    """Looks at the metrics now and then; a thread sends what it saw."""

    def __init__(self, url: str, resource: "Resource", heard: Heard) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        self._resource = resource
        exporter: MetricExporter = OTLPMetricExporter(endpoint=url)
        self._export: Callable[[MetricsData], MetricExportResult] = exporter.export  # pyright: ignore[reportUnknownMemberType]
        self._outage = Outage("metrics", heard)
        self._since = time.time_ns()
        self._seconds = _interval()
        self._due: queue.Queue[MetricsData | None] = queue.Queue(2)
        self._thread = threading.Thread(target=self._send, name="otlp-metrics", daemon=True)
        self._looking: asyncio.Task[None] | None = None
        self._registries: Sequence[CollectorRegistry] = ()
        self._refresh: Callable[[], Awaitable[None]] | None = None

    def begin(
        self,
        registries: Sequence[CollectorRegistry],
        refresh: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._registries, self._refresh = registries, refresh
        self._thread.start()
        self._looking = asyncio.create_task(self._keep_looking())

    async def end(self) -> None:
        """Look for the last time."""
        if self._looking is not None:
            await background.end(self._looking)
            self._look()
            self._put(None)

    def join(self) -> None:
        """Wait until all is sent."""
        if self._looking is not None:
            self._thread.join()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                if self._refresh is not None:
                    await self._refresh()
            except Exception as error:  # noqa: BLE001 - what is known without it is sent all the same
                _log.warning("telemetry.not_refreshed", error=str(error) or type(error).__name__)
            self._look()

    def _look(self) -> None:
        from podium.kernel.metric_points import metrics_data

        families = [family for registry in self._registries for family in registry.collect()]
        self._put(metrics_data(families, self._resource, self._since, time.time_ns()))

    def _put(self, data: "MetricsData | None") -> None:
        """Have it sent; what waits when the collector is away is replaced by what is newer."""
        with suppress(queue.Empty):
            if self._due.full():
                self._due.get_nowait()
        self._due.put_nowait(data)

    def _send(self) -> None:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        while (data := self._due.get()) is not None:
            result = self._export(data)
            self._outage.note(sent=result is MetricExportResult.SUCCESS)


def _interval() -> float:
    try:
        return int(os.environ["OTEL_METRIC_EXPORT_INTERVAL"]) / 1000
    except (KeyError, ValueError):
        return _METRIC_SECONDS


def _resource(process: str) -> "Resource":
    from opentelemetry.sdk.resources import Resource

    own: Mapping[str, str | int] = {
        "service.version": __version__,
        "service.instance.id": str(uuid7()),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
        "podium.process": process,
    }
    given = Resource.create()  # by OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
    if str(given.attributes["service.name"]).startswith("unknown_service"):
        own = {**own, "service.name": "podium"}
    return given.merge(Resource(own))
