"""Health, metrics, settings and documents: what tells of the server itself."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.responses import HTMLResponse

from podium.api.gauges import Gauges
from podium.api.metrics import Metrics
from podium.kernel.errors import Unavailable
from podium.kernel.settings import Settings
from podium.kernel.settings_view import Setting, settings_in_force
from podium.kernel.web import StrictRoute, api_router, operation_id, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.storage.database import Database
from podium.storage.functions import DatabaseUnsupported
from podium.storage.migrate import require_migrated

health = APIRouter(
    tags=["health"], route_class=StrictRoute, generate_unique_id_function=operation_id
)
router = api_router("", "server")

_READY_SECONDS = 5.0
_DOCS = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Podium API</title>
<h1>Podium API</h1>
<p>The API is described by <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1). Load it into any
OpenAPI viewer or client generator. This page loads nothing from elsewhere.</p>
</html>
"""


class Health(BaseModel):
    """That the server lives, or is ready."""

    status: Literal["ok"] = "ok"


class SettingList(BaseModel):
    """All settings."""

    items: list[Setting]


@health.get("/health/live", summary="Tell that the process lives")
async def get_liveness() -> Health:
    return Health()


@health.get("/health/ready", summary="Tell whether requests can be served")
async def get_readiness(
    database: Annotated[Database, Depends(provided(Database))],
) -> Health:
    """Ready means that the database answers and has this version's schema."""
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await require_migrated(database)
    except TimeoutError:
        raise Unavailable(
            f"PostgreSQL did not answer within {_READY_SECONDS:g} seconds.",
            hint="`podium status` shows the servers.",
        ) from None
    except DatabaseUnsupported as error:
        raise Unavailable(error.message, hint=error.hint) from error
    return Health()


@health.get(
    "/metrics",
    summary="Read metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(
    _reader: Annotated[Principal, Depends(require("metrics:read"))],
    metrics: Annotated[Metrics, Depends(provided(Metrics))],
    gauges: Annotated[Gauges, Depends(provided(Gauges))],
) -> Response:
    await gauges.refresh()
    text = await asyncio.to_thread(metrics.render)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@health.get("/openapi.json", include_in_schema=False)
async def get_openapi(request: Request) -> dict[str, Any]:
    return request.app.openapi()


@health.get("/docs", include_in_schema=False)
async def get_docs() -> HTMLResponse:
    return HTMLResponse(_DOCS)


@router.get("/settings", summary="List settings, secrets masked")
async def list_settings(
    _reader: Annotated[Principal, Depends(require("settings:read"))],
    settings: Annotated[Settings, Depends(provided(Settings))],
) -> SettingList:
    return SettingList(items=settings_in_force(settings))
