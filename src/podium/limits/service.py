"""Use cases of limits."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.events import store as events
from podium.events.model import NewEvent
from podium.kernel.errors import NotFound
from podium.limits import store
from podium.limits.model import Limit
from podium.principals.model import Principal
from podium.projects import service as projects
from podium.scheduler import store as scheduling
from podium.scheduler.model import Rate
from podium.scheduler.service import Scheduler


class LimitService:
    """Sets limits that tasks name. Whoever waits for one and now fits is ready in the transaction
    of the change, or of more than a thousand the first, whom the others follow; what runs goes on,
    also where a limit became smaller."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def list(
        self, conn: AsyncConnection, project_id: UUID, after: str | None, limit: int
    ) -> Sequence[Limit]:
        """Limits of the project by name."""
        return await store.read_page(conn, project_id, after, limit)

    async def get(self, conn: AsyncConnection, project_id: UUID, name: str) -> Limit:
        if (found := await store.read(conn, project_id, name)) is None:
            raise NotFound(
                f"There is no limit {name[:200]!r}.",
                hint="`podium limit list` shows those that there are.",
                limit=name[:200],
            )
        return found

    async def put(
        self,
        conn: AsyncConnection,
        asker: Principal,
        project_id: UUID,
        name: str,
        concurrency: int | None,
        rate: Rate | None,
    ) -> Limit:
        """Set a limit, or of a name that ends in ``*`` one for each name that begins like it."""
        await scheduling.lock_gates(conn)
        await projects.hold(conn, project_id)
        limit_id = await store.put(conn, project_id, name, concurrency, rate)
        data = {
            "name": name,
            "concurrency": concurrency,
            "rate": rate.model_dump() if rate else None,
        }
        await _tell(conn, "limit.updated", limit_id, project_id, asker, data)
        await self._follow(conn, project_id, name)
        return await self.get(conn, project_id, name)

    async def delete(
        self, conn: AsyncConnection, asker: Principal, project_id: UUID, name: str
    ) -> None:
        """Remove a limit: the family that a name belongs to limits it from now on, or nothing."""
        await scheduling.lock_gates(conn)
        limit_id = await store.delete(conn, project_id, name)
        if limit_id is not None:
            await _tell(conn, "limit.deleted", limit_id, project_id, asker, {"name": name})
            await self._follow(conn, project_id, name)

    async def _follow(self, conn: AsyncConnection, project_id: UUID, name: str) -> None:
        await store.follow(conn, project_id, name)
        self._scheduler.feed_after(conn)


async def _tell(
    conn: AsyncConnection,
    kind: str,
    limit_id: UUID,
    project_id: UUID,
    asker: Principal,
    data: Mapping[str, Any],
) -> None:
    await events.append(conn, [NewEvent(kind, limit_id, project_id, asker.name, data)])
