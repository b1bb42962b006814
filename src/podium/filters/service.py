"""Use cases of saved filters."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.model import NewEvent
from podium.filters import store
from podium.filters.model import SavedFilter
from podium.kernel.errors import NotFound
from podium.principals.model import Principal
from podium.projects import service as projects
from podium.tasks.queries import TaskQuery


class FilterService:
    """Keeps filters for all who see a project. What they find is asked for as without them."""

    async def list(
        self, conn: AsyncConnection, project_id: UUID, after: str | None, limit: int
    ) -> Sequence[SavedFilter]:
        """Filters of the project by name."""
        return await store.read_page(conn, project_id, after, limit)

    async def get(self, conn: AsyncConnection, project_id: UUID, name: str) -> SavedFilter:
        if (found := await store.read(conn, project_id, name)) is None:
            raise NotFound(
                f"There is no saved filter {name!r}.",
                hint="`podium filter list` shows those that there are.",
                filter=name,
            )
        return found

    async def put(
        self,
        conn: AsyncConnection,
        asker: Principal,
        project_id: UUID,
        name: str,
        description: str,
        query: TaskQuery,
        sort: str,
    ) -> SavedFilter:
        """Save a filter in place of the one that had the name."""
        await projects.hold(conn, project_id)
        wanted = query.model_dump(mode="json", exclude_unset=True)
        made = await store.put(conn, project_id, name, asker.name, description, wanted, sort)
        data = {"name": name, "filter": wanted}
        await _tell(conn, "filter.saved", made.id, project_id, asker, data)
        return made

    async def delete(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, name: str
    ) -> None:
        """Delete a filter, if there is one."""
        gone = await store.delete(conn, project_id, name)
        if gone is not None:
            await _tell(conn, "filter.deleted", gone, project_id, asker, {"name": name})


async def _tell(
    conn: AsyncConnection,
    kind: str,
    filter_id: UUID,
    project_id: UUID,
    asker: Principal,
    data: Mapping[str, Any],
) -> None:
    await events.append(conn, [NewEvent(kind, filter_id, project_id, asker.name, data)])
