"""Errors as RFC 9457 problems: the one place where Podium's errors become HTTP answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from podium.kernel.errors import Forbidden, InvalidInput, NotFound, PodiumError, TooLarge
from podium.kernel.fields import MOST_TOLD, and_more, causes, told
from podium.kernel.redaction import redact

PROBLEM_TYPE = "application/problem+json"
TYPE_URL = "https://podium.dev/errors/"


class MalformedRequest(PodiumError):
    """The request is no valid HTTP or JSON, or holds what can never be stored, such as NUL."""

    code = "malformed_request"
    status = 400
    title = "Malformed request"
    advice = "Send one JSON document in UTF-8, and read the detail."


class MethodNotAllowed(PodiumError):
    """The path exists, but not for this method."""

    code = "method_not_allowed"
    status = 405
    title = "Method not allowed"
    advice = "`Allow` names the methods of the path."


class UnsupportedMediaType(PodiumError):
    """The body is of a type that is not read here: bodies are JSON."""

    code = "unsupported_media_type"
    status = 415
    title = "Unsupported type of body"
    advice = "Send `Content-Type: application/json`."


class Misdirected(PodiumError):
    """The request names a host under which this server does not answer."""

    code = "misdirected"
    status = 421
    title = "Unknown host"
    advice = "Use the name of `PODIUM_PUBLIC_URL`, or add one to `PODIUM_ALLOWED_HOSTS`."


class OriginRefused(Forbidden):
    """A page of another site made the request."""

    code = "origin_refused"
    title = "Request from another site"
    advice = "Add the site to `PODIUM_CORS_ORIGINS`."


class InternalError(PodiumError):
    """Podium failed. The log of the server tells more under the request's id."""


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it. Some errors carry further members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=[TYPE_URL + "not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What was wrong, and where.")
    code: str = Field(description="Stable name of the error.", examples=["not_found"])
    hint: str | None = Field(default=None, description="What to do about it.")
    request_id: str | None = Field(default=None, description="Also in the server's log.")
    errors: list["FieldError"] | None = Field(
        default=None, description="Each wrong field, when it was a field that was wrong."
    )


class FieldError(BaseModel):
    """One wrong field."""

    field: str = Field(examples=["retry.max_retries"])
    message: str


def problem(error: PodiumError, request_id: str | None) -> dict[str, Any]:
    """The members of the problem document for an error; what it repeats of the request is shown
    without secrets."""
    hint = {"hint": error.hint} if error.hint else {}
    context = dict(error.context)
    if (field := context.pop("field", None)) is not None:
        context["errors"] = [{"field": field, "message": error.message}]
    told: dict[str, Any] = redact({**context, "detail": error.message, **hint})
    return {
        **told,
        "type": TYPE_URL + error.code,
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "request_id": request_id,
    }


def problem_response(error: PodiumError, request_id: str | None) -> Response:
    """The HTTP answer for an error."""
    return Response(
        orjson.dumps(problem(error, request_id), default=str),
        status_code=error.status,
        media_type=PROBLEM_TYPE,
        headers=_headers(error),
    )


def handle_errors(app: FastAPI) -> None:
    """Make the application answer every error with a problem."""

    async def podium_error(request: Request, error: PodiumError) -> Response:
        return _answer(request, error)

    async def invalid(request: Request, error: RequestValidationError) -> Response:
        allowed = _methods_of_its_own(request)
        if allowed and request.method not in allowed:  # a route with a parameter took it
            return _answer(request, _not_allowed(request, allowed))
        if isinstance(error.body, bytes):  # it was not read, being declared as something else
            return _answer(request, _not_json(request))
        return _answer(request, from_validation(error.errors(), _body_of(request)))

    async def http_error(request: Request, error: HTTPException) -> Response:
        return _answer(request, from_http(request, error))

    app.add_exception_handler(PodiumError, podium_error)  # pyright: ignore[reportArgumentType]
    app.add_exception_handler(RequestValidationError, invalid)  # pyright: ignore[reportArgumentType]
    app.add_exception_handler(HTTPException, http_error)  # pyright: ignore[reportArgumentType]


def from_validation(found: Sequence[Mapping[str, Any]], body: Any = None) -> PodiumError:
    """The error for what pydantic found; never repeats the input, which may hold secrets.

    Locations begin with the part of the request; ``body`` is the type of its body.
    """
    found = causes(found)
    errors = [
        {"field": _field(item["loc"]), "message": told({**item, "loc": item["loc"][1:]}, body)}
        for item in found[:MOST_TOLD]
    ]
    if any(item["type"] == "json_invalid" and item["loc"][0] == "body" for item in found):
        return MalformedRequest(
            "The body is no valid JSON.",
            hint="Send one JSON document in UTF-8; NaN, infinities and lone surrogates are none.",
        )
    first = errors[0]
    return InvalidInput(
        f"{first['field']}: {first['message']}{and_more(len(found) - 1)}.", errors=errors
    )


def _body_of(request: Request) -> Any:
    """The type of the body that the route of a request takes."""
    route = request.scope.get("route")
    body = route.body_field if isinstance(route, APIRoute) else None
    return body.field_info.annotation if body else None


def _not_json(request: Request) -> PodiumError:
    given = request.headers.get("content-type", "")[:100]
    return UnsupportedMediaType(
        f"The body is declared as {given!r}; bodies are JSON."
        if given
        else "The body's type is not declared.",
        hint="Send JSON with the header 'Content-Type: application/json'; curl --json does.",
    )


def from_http(request: Request, error: HTTPException) -> PodiumError:
    """The error for what the framework raised by itself."""
    if isinstance(error.__cause__, PodiumError):  # raised while the body was read
        return error.__cause__
    if error.status_code == NotFound.status:
        return NotFound("There is nothing at this path.", hint="/openapi.json lists all paths.")
    if error.status_code == MethodNotAllowed.status:
        return _not_allowed(request, _methods_of_its_own(request) or _methods(request))
    if error.status_code == TooLarge.status:
        return TooLarge("The request is too large.")
    return MalformedRequest(f"The request cannot be read: {error.detail}.")


def _answer(request: Request, error: PodiumError) -> Response:
    return problem_response(error, request.scope["state"].get("request_id"))


def _not_allowed(request: Request, allowed: list[str]) -> MethodNotAllowed:
    return MethodNotAllowed(
        f"{request.method[:20]} is not possible here.",
        hint=f"Possible: {', '.join(allowed)}.",
        allowed=allowed,
    )


def _methods_of_its_own(request: Request) -> list[str]:
    """What can be done at the path of the request when it is a route's, such as ``tasks/bulk``;
    none when it only fits one with parameters."""
    return _methods(request, lambda route, path: route.path == path)


def _methods(
    request: Request,
    fits: Callable[[APIRoute, str], object] = lambda route, path: route.path_regex.match(path),
) -> list[str]:
    """What can be done at the path of the request."""
    path: str = request.scope["path"]
    found = (
        route.methods or ()
        for route in request.app.routes
        if isinstance(route, APIRoute) and fits(route, path)
    )
    return sorted({method for methods in found for method in methods})


def _field(location: Iterable[str | int]) -> str:
    place, *parts = [*(str(part) for part in location), ""]
    return ".".join(parts).rstrip(".") or place or "body"


def _headers(error: PodiumError) -> dict[str, str]:
    match error.status:
        case 401:
            return {"WWW-Authenticate": "Bearer"}
        case 405:
            return {"Allow": ", ".join(error.context.get("allowed", []))}
        case 416:
            return {"Content-Range": f"bytes */{error.context.get('size', '*')}"}
        case 429 | 503:
            return {"Retry-After": str(error.context.get("retry_after", 1))}
        case _:
            return {}
