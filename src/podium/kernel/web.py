"""How routes come by their services: the composition root puts them on the application."""

from collections.abc import Callable
from typing import TypeVar, cast

from starlette.requests import HTTPConnection

Service = TypeVar("Service")


def provided(kind: type[Service]) -> Callable[[HTTPConnection], Service]:
    """A FastAPI dependency that gives the application's one instance of ``kind``."""

    def get(connection: HTTPConnection) -> Service:
        return cast("Service", connection.app.state.services[kind])

    return get
