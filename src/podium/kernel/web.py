"""What all routes share: how they come by services, strict bodies, cursors of pages."""

import base64
import binascii
import gc
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, cast, get_origin

import orjson
from fastapi import APIRouter, Query, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from podium.kernel.errors import InvalidInput
from podium.kernel.fields import closest

PREFIX = "/api/v1/orchestration"

Service = TypeVar("Service")
Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of one page.")]
PageCursor = Annotated[
    str | None, Query(max_length=500, description="`next` of the page before this one.")
]


def label_filter(given: Sequence[str]) -> dict[str, str]:
    """Labels that are asked for as ``key:value``; ``InvalidInput`` for what is none."""
    labels: dict[str, str] = {}
    for text in given:
        key, colon, value = text.partition(":")
        if not colon:
            raise InvalidInput(
                f"{text!r} is no label filter.", hint="Write it as key:value.", field="label"
            )
        if labels.setdefault(key, value) != value:
            raise InvalidInput(
                f"The label {key!r} is asked for with two values; nothing has both.",
                hint="Ask once for each value.",
                field="label",
            )
    return labels


def service(connection: HTTPConnection, kind: type[Service]) -> Service:
    """The application's one instance of ``kind``; for dependencies, each further one of which takes
    FastAPI a while to solve."""
    return cast("Service", connection.app.state.services[kind])


def provided(kind: type[Service]) -> Callable[[HTTPConnection], Awaitable[Service]]:
    """A FastAPI dependency that gives the application's one instance of ``kind``."""

    async def get(connection: HTTPConnection) -> Service:
        return service(connection, kind)

    return get


_DEEPEST = 120
_ANY_DIGIT = bytes(ord("0") if chr(byte).isdecimal() else byte for byte in range(256))
_LONG_NUMBER = b"0" * 19
_INTEGER = re.compile(rb"(?:^|[\[,:\s])(-?[0-9]{19,})(?=[\s,\]}]|$)")
_LEAST, _MOST = -(2**63), 2**64 - 1
_LARGE_BYTES = 64 * 1024
_MOST_UNKNOWN = 50


class _StrictRequest(Request):
    async def json(self) -> Any:
        """The body, which must be strict JSON: no NaN, no lone surrogates, no deep nesting, no NUL
        characters, which PostgreSQL cannot store, and no whole numbers that would lose digits."""
        body = await self.body()
        value = _read(body)
        if body.count(b"[") + body.count(b"{") > _DEEPEST and _too_deep(value):
            raise InvalidInput(
                "The body is nested too deeply.", hint=f"Keep it under {_DEEPEST} levels."
            )
        if b"\\u0000" in body and (where := _first(value, "", _holds_nul)) is not None:
            raise InvalidInput(
                f"{where or 'The body'} holds a NUL character (\\u0000), which cannot be stored.",
                hint="Remove it, or encode the text, for example as base64.",
                field=where or "body",
            )
        if (where := _too_long_integer(body)) is not None:
            raise InvalidInput(
                f"{where or 'The body'} is a whole number of more than 64 bits, which cannot be "
                "kept exactly.",
                hint="Send it as a string.",
                field=where or "body",
            )
        return value


def _read(body: bytes) -> Any:
    """The value of a JSON text. A large one makes so many objects at once that the search for
    unreachable ones, which there are none of, would take most of the time."""
    if len(body) < _LARGE_BYTES or not gc.isenabled():
        return orjson.loads(body)
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        gc.enable()


def _too_long_integer(body: bytes) -> str | None:
    """Where in a JSON text an integer is that orjson would turn into a float; None when nowhere.

    Looked for in steps, each of which is slower than the one before and seldom reached.
    """
    if _LONG_NUMBER not in body.translate(_ANY_DIGIT):
        return None
    if all(_fits(found.group(1).decode()) for found in _INTEGER.finditer(body)):
        return None
    marked = json.loads(body, parse_int=lambda text: int(text) if _fits(text) else _TOO_LONG)
    return _first(marked, "", lambda value: value is _TOO_LONG)


_TOO_LONG: Any = object()


def _fits(integer: str) -> bool:
    return len(integer) <= len(str(_LEAST)) and _LEAST <= int(integer) <= _MOST


class StrictRoute(APIRoute):
    """The route class of every router of Podium: refuses query parameters that are unknown, or
    given twice, which would leave a list filtered otherwise than meant without a word, and reads
    bodies strictly, and faster."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        declared = get_flat_params(self.dependant)
        queries = [each for each in declared if isinstance(each.field_info, params.Query)]
        known = {each.alias for each in queries}
        single = {each.alias for each in queries if not _is_list(each.field_info.annotation)}
        has_body = self.body_field is not None

        async def strict(request: Request) -> Response:
            if request.scope["query_string"]:
                given = request.query_params
                wrong = [
                    *unknown_parameters(given, known),
                    *_repeated(given.multi_items(), single),
                ]
                if wrong:
                    raise RequestValidationError(wrong)
            return await handle(
                _StrictRequest(request.scope, request.receive) if has_body else request
            )

        return strict


def unknown_parameters(given: Iterable[str], known: Collection[str]) -> list[Mapping[str, Any]]:
    """A finding, as pydantic's are, for each query parameter that is not among the known ones; of
    very many, for the first."""
    unknown = [name for name in given if name not in known]
    return [
        {
            "type": "unknown_parameter",
            "loc": ("query", name),
            "msg": f"There is no such parameter{closest(name, known)}",
        }
        for name in unknown[:_MOST_UNKNOWN]
    ]


def _is_list(annotation: object) -> bool:
    """Whether a parameter takes several values: then its type is a list."""
    return get_origin(annotation) is list


def _repeated(given: Sequence[tuple[str, str]], single: Collection[str]) -> list[Mapping[str, Any]]:
    """A finding for each parameter that is given more than once and takes one value."""
    counts = Counter(name for name, _ in given)
    return [
        {"type": "repeated_parameter", "loc": ("query", name), "msg": "Must be given once"}
        for name, count in counts.items()
        if count > 1 and name in single
    ]


def _too_deep(value: Any) -> bool:
    """Whether the value would pass what orjson can write, which is 254 levels, once it is
    wrapped in an answer. Asked of orjson itself, because a walk in Python would cost more than
    all else in a bulk call."""
    for _ in range(254 - _DEEPEST):
        value = [value]
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return True
    return False


def _holds_nul(value: Any) -> bool:
    return isinstance(value, str) and "\x00" in value


def _first(value: Any, place: str, wrong: Callable[[Any], bool]) -> str | None:
    """Where in a JSON value something wrong is, as ``labels.team``; None when nowhere."""
    if wrong(value):
        return place
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        if any(wrong(key) for key in cast("dict[str, Any]", value)):
            return f"A name in {place or 'the body'}"
        items = cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
    places = ((f"{place}.{key}".strip("."), item) for key, item in items)
    found = (_first(item, where, wrong) for where, item in places)
    return next((where for where in found if where is not None), None)


def operation_id(route: APIRoute) -> str:
    """``createTask`` for a function ``create_task``."""
    first, *rest = route.name.split("_")
    return first + "".join(word.title() for word in rest)


def api_router(path: str, tag: str) -> APIRouter:
    """The router of a slice, with the API's prefix.

    Its routes become the application's own: FastAPI looks for a route in an included router twice,
    which with forty routes costs more than everything else that it does.
    """
    return APIRouter(
        prefix=PREFIX + path,
        tags=[tag],
        route_class=StrictRoute,
        generate_unique_id_function=operation_id,
    )


def page_cursor(*key: Any) -> str:
    """The opaque form of the key of a page's last item."""
    return base64.urlsafe_b64encode(orjson.dumps(key, default=str)).decode().rstrip("=")


def page_key(cursor: str | None, *kinds: Callable[[Any], Any]) -> list[Any] | None:
    """The key inside an opaque cursor, each part read by its kind; None without a cursor."""
    if cursor is None:
        return None
    try:
        return _read_key(cursor, kinds)
    except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError):
        raise InvalidInput(
            "`cursor` is no cursor of this list.",
            hint="Pass `next` of the page before, with the same filters.",
            field="cursor",
        ) from None


def _read_key(cursor: str, kinds: Sequence[Callable[[Any], Any]]) -> list[Any]:
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    if b"\\u0000" in text:
        raise ValueError("no key of ours holds NUL")
    return [kind(part) for kind, part in zip(kinds, orjson.loads(text), strict=True)]
