"""Puts the HTTP application together from services that others built."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from podium.agents import routes as agents
from podium.api import events, health, overview, status, websocket
from podium.api.access_log import AccessLog
from podium.api.counts import TaskCounts
from podium.api.description import describe
from podium.api.errors import handle_errors
from podium.api.gauges import Gauges
from podium.api.metrics import Metrics
from podium.api.middleware.authenticate import Authenticate
from podium.api.middleware.guard import Guard
from podium.api.middleware.limit import BodyLimit, RateLimiter
from podium.api.middleware.observe import Observe, Observed
from podium.api.streams import EventStreams
from podium.applied import routes as applied
from podium.diagnosis import routes as diagnosis
from podium.events.live import Feed
from podium.events.places import StreamPlaces
from podium.filters import routes as filters
from podium.kernel.addresses import accepted_hosts
from podium.kernel.settings import Settings
from podium.limits import routes as limits
from podium.principals import routes as principals
from podium.principals.service import PrincipalService
from podium.projects import routes as projects
from podium.projects.service import ProjectService
from podium.queues import routes as queues
from podium.schedules import routes as schedules
from podium.sessions import routes as sessions
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from podium.tasks import artifact_routes, finding_routes
from podium.tasks import routes as tasks
from podium.templates import routes as templates

if TYPE_CHECKING:
    from podium.kernel.tracing import Tracing

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
_Kind = TypeVar("_Kind")
_SLICES = (
    *(
        finding_routes,
        artifact_routes,
        tasks,
        sessions,
        filters,
        schedules,
        templates,
        agents,
        queues,
        limits,
        applied,
        events,
        projects,
        principals,
    ),
    *(status, diagnosis, overview, health, websocket),
)


def build(
    services: Mapping[type, object],
    settings: Settings,
    lifespan: Lifespan | None = None,
    tracing: "Tracing | None" = None,
) -> FastAPI:
    """The application. ``services`` holds one instance per type; ``lifespan`` surrounds its own;
    ``tracing`` makes a span of each request.

    ``app.state`` carries ``services``; ``last_request``, the ``time.monotonic`` when a request or
    a stream was served last; and ``stop``, which ends all streams: the server calls it before it
    waits for its connections to close.
    """
    own = {**services, **_own_services(services)}
    metrics, streams = _of(own, Metrics), _of(own, EventStreams)
    access_log = AccessLog(settings.data_dir / "logs" / "podium.log")
    app = application(
        lifespan=_lifespan(own, access_log, lifespan),
        middleware=_middleware(own, settings, Observed(metrics, access_log, tracing)),
    )
    app.state.services = own
    app.state.last_request = time.monotonic()
    app.state.stop = streams.stop
    streams.on_activity(lambda: setattr(app.state, "last_request", time.monotonic()))
    metrics.routes = {
        route.endpoint: route.path
        for route in app.routes
        if isinstance(route, (APIRoute, APIWebSocketRoute))
    }
    return app


def application(
    *, lifespan: Lifespan | None = None, middleware: Sequence[Middleware] = ()
) -> FastAPI:
    """All routes, without the services that answer: enough to describe them."""
    app = FastAPI(
        title="Podium",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        lifespan=lifespan,
        middleware=middleware,
    )
    handle_errors(app)
    for slice_ in _SLICES:
        app.router.routes.extend(slice_.router.routes)
    app.router.routes.extend(health.health.routes)
    describe(app)
    return app


def _own_services(services: Mapping[type, object]) -> Mapping[type, object]:
    metrics, database = Metrics(), _of(services, Database)
    counts = TaskCounts(database)
    streams = EventStreams(
        _of(services, Feed),
        _of(services, ProjectService),
        _of(services, PrincipalService),
        metrics,
    )
    return {
        Metrics: metrics,
        EventStreams: streams,
        StreamPlaces: StreamPlaces(),
        status.Started: status.Started(),
        TaskCounts: counts,
        Gauges: Gauges(metrics, _of(services, Feed), database, _of(services, Valkey), counts),
    }


def _middleware(
    services: Mapping[type, object], settings: Settings, by: Observed
) -> list[Middleware]:
    limiter = RateLimiter(settings.requests_per_second, settings.request_burst)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
        expose_headers=["X-Request-Id", "Retry-After"],
    )
    return [
        Middleware(Observe, by=by),
        *([cors] if settings.cors_origins else []),
        Middleware(Guard, allowed_hosts=accepted_hosts(settings), origins=settings.cors_origins),
        Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
        Middleware(Authenticate, principals=_of(services, PrincipalService), limiter=limiter),
    ]


def _lifespan(
    services: Mapping[type, object], access_log: AccessLog, outer: Lifespan | None
) -> Lifespan:
    principals_ = _of(services, PrincipalService)

    @asynccontextmanager
    async def span(app: FastAPI) -> AsyncGenerator[None]:
        async with outer(app) if outer else nullcontext():
            await access_log.open()
            await principals_.open()
            try:
                yield
            finally:
                app.state.stop()
                await principals_.close()
                await access_log.close()

    return span


def _of(services: Mapping[type, object], kind: type[_Kind]) -> _Kind:
    return cast("_Kind", services[kind])
