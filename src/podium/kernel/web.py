"""What all routes share: how they come by services, strict bodies, pages."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar, cast

import orjson
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection

from podium.kernel.errors import InvalidInput

Service = TypeVar("Service")
Item = TypeVar("Item")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Names of projects and agents: short, and safe in URLs, labels and file names."""

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of one page.")]
PageCursor = Annotated[
    str | None, Query(max_length=500, description="`next` of the page before this one.")
]


def provided(kind: type[Service]) -> Callable[[HTTPConnection], Awaitable[Service]]:
    """A FastAPI dependency that gives the application's one instance of ``kind``."""

    async def get(connection: HTTPConnection) -> Service:
        return cast("Service", connection.app.state.services[kind])

    return get


class Body(BaseModel):
    """Base of request bodies: unknown fields are refused, so that a typing error is noticed."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next: str | None = Field(
        default=None, description="Pass it as `cursor` for the next page; null at the end."
    )


def page_cursor(*key: Any) -> str:
    """The opaque form of the key of a page's last item."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def page_key(cursor: str | None, *kinds: Callable[[Any], Any]) -> list[Any] | None:
    """The key inside an opaque cursor, each part read by its kind; None without a cursor."""
    if cursor is None:
        return None
    try:
        return _read_key(cursor, kinds)
    except (binascii.Error, ValueError, TypeError, AttributeError):
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
