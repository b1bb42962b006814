# Generated from ../_async/resource.py by scripts/generate_client.py; change that file.
"""What every resource of the API has in common."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from podium.client._sync.transport import Transport
from podium.client.wire import Page, Query, Request

T = TypeVar("T")

_LARGEST_PAGE = 1000
_USUAL_PAGE = 200


class Resource:
    """Calls of one kind, in one project; None leaves it to the server which."""

    def __init__(self, transport: Transport, project: str | None) -> None:
        self._transport = transport
        self._project = project

    def _query(self, **parameters: object) -> dict[str, object]:
        return {"project": self._project, **parameters}

    def _get(self, path: str, kind: type[T], query: Query | None = None) -> T:
        return self._transport.call(Request("GET", path, query or {}), kind)

    def _items(self, path: str, kind: type[T], query: Query | None = None) -> Sequence[T]:
        return (self._get(path, Page[kind], query)).items

    def _pages(self, path: str, kind: type[T], query: Query, limit: int | None) -> Iterator[T]:
        """Every item, page after page, up to ``limit``."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = _USUAL_PAGE if left is None else min(left, _LARGEST_PAGE)
            page = self._get(path, Page[kind], {**query, "limit": size, "cursor": cursor})
            yield from page.items
            cursor = page.next
            left = None if left is None else left - len(page.items)
            if cursor is None:
                return
