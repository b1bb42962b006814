"""What a span tells of a request, by OpenTelemetry's conventions for HTTP servers. Imported only
where spans are sent somewhere."""

from contextlib import AbstractContextManager

from opentelemetry.trace import Span
from starlette.types import Scope

from podium.kernel.tracing import Tracing, fail

_PLACE = (b"traceparent", b"tracestate")
_SERVER_FAULTS = 500


def begin(tracing: Tracing, scope: Scope, request_id: str) -> AbstractContextManager[Span]:
    """A span around the request, below the caller's own if it says which. The path is left out: it
    is what the caller wrote."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    caller = {name.decode(): value.decode("latin-1") for name, value in headers if name in _PLACE}
    attributes = {
        "http.request.method": scope["method"],
        "url.scheme": scope["scheme"],
        "podium.request_id": request_id,
    }
    return tracing.span(scope["method"], "server", attributes, parent=caller)


def end(span: Span, method: str, route: str | None, status: int) -> None:
    """Tell what came of it; ``route`` is the template of its path."""
    if route is not None:
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= _SERVER_FAULTS:
        fail(span, str(status))
