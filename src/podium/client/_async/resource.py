"""What every resource of the API has in common."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from podium.client._async.transport import AsyncTransport
from podium.client.wire import Page, Query, Request

T = TypeVar("T")

_LARGEST_PAGE = 1000
_USUAL_PAGE = 200


class AsyncResource:
    """Calls of one kind, in one project; None leaves it to the server which."""

    def __init__(self, transport: AsyncTransport, project: str | None) -> None:
        self._transport = transport
        self._project = project

    def _query(self, **parameters: object) -> dict[str, object]:
        return {"project": self._project, **parameters}

    async def _get(self, path: str, kind: type[T], query: Query | None = None) -> T:
        return await self._transport.call(Request("GET", path, query or {}), kind)

    async def _items(self, path: str, kind: type[T], query: Query | None = None) -> Sequence[T]:
        return (await self._get(path, Page[kind], query)).items

    async def _pages(
        self, path: str, kind: type[T], query: Query, limit: int | None
    ) -> AsyncIterator[T]:
        """Every item, page after page, up to ``limit``."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = _USUAL_PAGE if left is None else min(left, _LARGEST_PAGE)
            page = await self._get(path, Page[kind], {**query, "limit": size, "cursor": cursor})
            for item in page.items:
                yield item
            cursor = page.next
            left = None if left is None else left - len(page.items)
            if cursor is None:
                return
