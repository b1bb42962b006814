"""Spans of this process. Imported only where they are sent somewhere: see ``exporting``.

What a span may say: names, ids, counts, outcomes and codes of errors. Never an input, an output, a
message of an error or a credential: those who may read traces are not those who may read tasks.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from podium import __version__
from podium.kernel.errors import PodiumError

Carrier = Mapping[str, str]
"""A place in a trace as W3C writes it: ``traceparent``, and ``tracestate`` where there is one."""
Kind = Literal["server", "producer", "consumer"]
Attributes = Mapping[str, str | int | bool]

_KINDS = {
    "server": SpanKind.SERVER,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_FORMAT = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans and hands those that ended to ``processor``."""

    def __init__(self, processor: SpanProcessor, resource: Resource) -> None:
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("podium", __version__)

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        parent: Carrier | None = None,
        link: Carrier | None = None,
    ) -> Generator[Span]:
        """A span around the block, which ends as failed when the block raises.

        Its parent is what ``parent`` names; of None the span around this one, and of an empty
        mapping nothing: then a trace begins. ``link`` names a span of another trace.
        """
        with self._tracer.start_as_current_span(
            name,
            context=None if parent is None else _read(parent),
            kind=_KINDS[kind],
            attributes=attributes,
            links=_links(link),
            record_exception=False,  # its message may tell what was asked of an agent
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                fail(span, error.code if isinstance(error, PodiumError) else type(error).__name__)
                raise

    def place(self) -> dict[str, str]:
        """Where the current span is in its trace, to go on from elsewhere; empty without one."""
        carrier: dict[str, str] = {}
        _FORMAT.inject(carrier)
        return carrier


def fail(span: Span, code: str) -> None:
    """Mark a span as failed, by a code that is one of few."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", code)


def _read(carrier: Carrier) -> Context:
    return _FORMAT.extract(carrier, context=Context())


def _links(carrier: Carrier | None) -> list[trace.Link]:
    if carrier is None:
        return []
    found = trace.get_current_span(_read(carrier)).get_span_context()
    return [trace.Link(found)] if found.is_valid else []
