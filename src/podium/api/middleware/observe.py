"""Request ids, security headers, metrics, spans, the access log, and the answer to what nobody
caught."""

import os
import re
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from podium.api.access_log import AccessLog
from podium.api.errors import InternalError, problem_response
from podium.api.metrics import Metrics
from podium.kernel.errors import PodiumError

if TYPE_CHECKING:
    from podium.kernel.tracing import Tracing

_log = structlog.get_logger(__name__)

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,100}")
_QUIET_PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})
_HEADERS: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
_NO_STORE = (b"cache-control", b"no-store")


@dataclass(frozen=True, slots=True)
class Observed:
    """Where what is seen of requests goes; ``tracing`` only where spans are sent somewhere."""

    metrics: Metrics
    access_log: AccessLog
    tracing: "Tracing | None" = None


class Observe:
    """Outermost: sees every request begin and end, and turns errors into answers."""

    def __init__(self, app: ASGIApp, *, by: Observed) -> None:
        self._app = app
        self._metrics = by.metrics
        self._access_log = by.access_log
        self._tracing = by.tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, send)
        structlog.contextvars.bind_contextvars(request_id=request.id)
        quiet = scope["path"] in _QUIET_PATHS
        if not quiet:
            scope["app"].state.last_request = request.began
        try:
            if self._tracing is None or quiet or _is_stream(scope):
                await self._answer(request, receive)
            else:
                await self._traced(self._tracing, request, receive)
        finally:
            if not quiet:
                scope["app"].state.last_request = time.monotonic()
            self._record(request)

    async def _answer(self, request: "_Request", receive: Receive) -> None:
        scope = request.scope
        try:
            await self._app(scope, receive, request.send)
        except PodiumError as error:
            if request.status:
                raise
            await request.refuse(error, receive)
        except Exception:
            _log.exception("request.failed", path=scope["path"])
            if request.status:
                raise
            await request.refuse(_internal_error(), receive)

    async def _traced(self, tracing: "Tracing", request: "_Request", receive: Receive) -> None:
        """Answer within a span that goes on with the caller's trace."""
        from podium.api.middleware import spans

        with spans.begin(tracing, request.scope, request.id) as span:
            await self._answer(request, receive)
            route = self._metrics.route(request.scope.get("endpoint"))
            spans.end(span, request.scope["method"], route, request.status)

    def _record(self, request: "_Request") -> None:
        scope = request.scope
        seconds = time.monotonic() - request.began
        method = scope.get("method", "WEBSOCKET")
        self._metrics.request(method, scope.get("endpoint"), request.status, seconds)
        if scope["path"] in _QUIET_PATHS and request.status < 400:
            return
        principal = scope["state"].get("principal")
        self._access_log.add(
            {
                "request_id": request.id,
                "method": method,
                "path": scope["path"],
                "status": request.status,
                "ms": round(seconds * 1000, 2),
                "principal": principal.name if principal else None,
                "client": scope["client"][0] if scope.get("client") else None,
            }
        )


class _Request:
    """One request under way."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.began = time.monotonic()
        self.scope = scope
        self.status = 0
        self._send = send
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        self.id = _request_id(scope)
        state["request_id"] = self.id
        self._id_header = (b"x-request-id", self.id.encode())

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self.status = message["status"]
                headers = message.setdefault("headers", [])
                message["headers"] = [*headers, self._id_header, *_HEADERS]
                if not any(name == b"cache-control" for name, _ in headers):
                    message["headers"].append(_NO_STORE)
            case "websocket.accept":
                self.status = 101
            case _:
                pass
        await self._send(message)

    async def refuse(self, error: PodiumError, receive: Receive) -> None:
        """Answer with the problem, also to a WebSocket that was not accepted yet."""
        response = problem_response(error, self.id)
        if self.scope["type"] == "websocket" and (
            "websocket.http.response" not in self.scope.get("extensions", {})
        ):
            await self.send({"type": "websocket.close", "code": 1008})
            return
        await response(self.scope, receive, self.send)


def _internal_error() -> InternalError:
    return InternalError(
        "Podium failed to do this.",
        hint="The log of the server tells more under this request's id.",
    )


def _is_stream(scope: Scope) -> bool:
    """Whether it may go on for hours, which no span should."""
    return scope["type"] == "websocket" or scope["path"].endswith("/stream")


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if _SANE_ID.fullmatch(value):
                return value.decode()
            break
    return os.urandom(8).hex()
