"""Which tasks one wants: pages of them, their number, and all that is known of them."""

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.kernel.errors import NotFound
from podium.storage.database import Database
from podium.tasks import listing, search, store, views
from podium.tasks.filtering import TaskFilter, Window
from podium.tasks.model import Task, TaskSummary
from podium.tasks.queries import TaskQuery

_EXPORTED_AT_ONCE = 50


class TaskFinder:
    """Finds tasks of one project at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        conn: AsyncConnection,
        project_id: UUID,
        project: str,
        query: TaskQuery,
        window: Window,
    ) -> list[TaskSummary]:
        """What the window shows of the tasks that match, in its order."""
        wanted = await self._filter(conn, project_id, query)
        rows = await listing.page(conn, project_id, wanted, window)
        paces = await store.paces(conn, rows)
        return [views.summary(row, project, paces) for row in rows]

    async def count(
        self, conn: AsyncConnection, project_id: UUID, query: TaskQuery, most: int
    ) -> int:
        """How many match; counted up to ``most``."""
        return await listing.count(
            conn, project_id, await self._filter(conn, project_id, query), most
        )

    async def ids(
        self, conn: AsyncConnection, project_id: UUID, query: TaskQuery, window: Window
    ) -> list[UUID]:
        """The ids of a page, in the order of creation."""
        return await listing.ids(
            conn, project_id, await self._filter(conn, project_id, query), window
        )

    async def require_words(self, conn: AsyncConnection, query: TaskQuery) -> None:
        """``InvalidInput`` where a part of its words comes to nothing."""
        if query.search is not None:
            await search.require_words(conn, query.search)

    async def read(
        self, conn: AsyncConnection, query: TaskQuery, ids: Sequence[UUID]
    ) -> Sequence[str]:
        """What ``still`` needs to know of tasks that are sought by their words."""
        if query.search is None:
            return ()
        return await search.read(conn, ids, search.query(query.search))

    async def still(
        self,
        conn: AsyncConnection,
        project_id: UUID,
        query: TaskQuery,
        ids: Sequence[UUID],
        read: Sequence[str],
    ) -> list[UUID]:
        """Those of the ids that match now, in their order; of words, by what tasks hold now."""
        wanted = await self._filter(conn, project_id, query)
        return await listing.still(conn, project_id, wanted, ids, read)

    async def export(self, project_id: UUID, query: TaskQuery) -> AsyncGenerator[Sequence[Task]]:
        """All that match, newest first, some at a time; no transaction is open in between."""
        window: Window | None = Window(_EXPORTED_AT_ONCE)
        while window is not None:
            async with self._database.connect() as conn:
                ids = await self.ids(conn, project_id, query, window)
                tasks = await store.get_many(conn, ids)
                edges = await store.depend_on(conn, ids)
                paces = await store.paces(conn, tasks)
            yield [views.task(row, edges.get(row.id, ()), paces) for row in tasks]
            full = len(ids) == _EXPORTED_AT_ONCE
            window = Window(_EXPORTED_AT_ONCE, beyond=ids[-1]) if full else None

    async def _filter(
        self, conn: AsyncConnection, project_id: UUID, query: TaskQuery
    ) -> TaskFilter:
        return TaskFilter(
            states=frozenset(query.state),
            agents=await self._agents(conn, project_id, query.agent) if query.agent else (),
            queue=query.queue,
            labels=query.labels,
            created_after=query.created_after,
            created_before=query.created_before,
            words=None if query.search is None else search.query(query.search),
        )

    async def _agents(self, conn: AsyncConnection, project_id: UUID, name: str) -> tuple[UUID, ...]:
        """The ids of agents that have the name, or had it; ``NotFound`` when none ever did."""
        found = await store.agent_ids(conn, project_id, name)
        if not found:
            raise NotFound(
                f"There is no agent {name!r} in this project.",
                hint="`podium agent list` shows those that are registered.",
                agent=name,
            )
        return tuple(found)
