"""What the OpenAPI document says beyond what FastAPI finds out by itself."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from podium import __version__
from podium.api.errors import PROBLEM_TYPE, Problem

_ANYWHERE = {
    400: "The request is malformed.",
    401: "There is no valid token.",
    403: "The token does not allow this.",
    404: "It does not exist, or the token may not see it.",
    409: "It is in a state in which this cannot be done.",
    410: "The cursor lies before what is still kept.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    421: "The server does not answer under this host name.",
    422: "A value of the request cannot be.",
    429: "Too many requests; `Retry-After` says when to go on.",
    500: "Podium failed; its log tells more under the request's id.",
    503: "PostgreSQL cannot be used now. Nothing was changed, unless `code` is `outcome_unknown`.",
}
_PUBLIC = (400, 421, 422, 429, 500, 503)
_DESCRIPTION = """\
Podium runs tasks durably on AI agents.

Times are RFC 3339 in UTC, durations are seconds. Errors are `application/problem+json` (RFC 9457)
with a stable `code`. Lists answer `{"items": […], "next": …}`; pass `next` as `cursor`. Every
answer carries `X-Request-Id`. Events can also be followed over the WebSocket `/ws/orchestration`.
"""
_TAGS = [
    {"name": "tasks", "description": "Work for agents: submit, follow, change, explain."},
    {"name": "sessions", "description": "Tasks that people talk to while they run."},
    {"name": "filters", "description": "Filters of tasks, kept under a name."},
    {"name": "schedules", "description": "Tasks that start by themselves, again and again."},
    {"name": "templates", "description": "Tasks with parameters, ready to be started."},
    {"name": "agents", "description": "Who can do the work: versioned definitions and health."},
    {"name": "queues", "description": "How much of each runs, and whether it does."},
    {"name": "limits", "description": "How much of what shares a name runs, and how fast."},
    {"name": "applied", "description": "What came from files, and by which set of them."},
    {"name": "events", "description": "Everything that happened, in order; also live."},
    {"name": "projects", "description": "Namespaces, and their share of the workers."},
    {"name": "tokens", "description": "Who may do what."},
    {"name": "server", "description": "Workers, status and settings."},
    {"name": "health", "description": "For supervisors and monitoring."},
]


def describe(app: FastAPI) -> None:
    """Give the application a document that declares every error of every operation."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = openapi


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the application."""
    spec = get_openapi(
        title="Podium",
        version=__version__,
        summary="A durable control plane for AI agents.",
        description=_DESCRIPTION,
        routes=app.routes,
        tags=_TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    components = spec.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    components["responses"] = {f"Error{status}": _response(status) for status in _ANYWHERE}
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token of Podium."}
    }
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return spec


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    public = path.startswith("/health/")
    operation["security"] = [] if public else [{"token": []}]
    responses = {
        status: answer
        for status, answer in operation["responses"].items()
        if not (status == "422" and "HTTPValidationError" in str(answer))
    }
    for status in _possible(path, method, public=public):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/Error{status}"})
    for status, answer in responses.items():
        if status.startswith("2"):
            answer.setdefault("headers", {})["X-Request-Id"] = {
                "description": "Also in the server's log.",
                "schema": {"type": "string"},
            }
    operation["responses"] = dict(sorted(responses.items()))


def _possible(path: str, method: str, *, public: bool) -> Iterable[int]:
    yield from _PUBLIC
    if public:
        return
    yield from (401, 403, 404)
    if method in ("post", "put", "delete", "patch"):
        yield from (409, 413, 415)
    if "/events" in path:
        yield 410


def _response(status: int) -> dict[str, Any]:
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": _ANYWHERE[status], "content": content}
