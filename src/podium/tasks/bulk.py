"""Changes of all tasks that match, some at a time: each call is one transaction."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.agents.model import CODE_RUNTIMES
from podium.events import store as events
from podium.events.model import NewEvent
from podium.kernel.redaction import redact_text
from podium.scheduler.service import Scheduler
from podium.tasks import store


class TaskBulk:
    """What can be done with many tasks of one project. All methods leave the commit to their
    caller and tell which tasks they changed."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def hold(self, conn: AsyncConnection, ids: Sequence[UUID]) -> None:
        """Hold tasks where they are until the transaction ends. Must come before anything else."""
        await self._scheduler.hold(conn, ids)

    async def run_code(self, conn: AsyncConnection, ids: Sequence[UUID]) -> bool:
        """Whether one of the tasks may come to run code on a worker's machine."""
        return await store.any_runs(conn, ids, sorted(CODE_RUNTIMES))

    async def cancel(
        self, conn: AsyncConnection, ids: Sequence[UUID], who: str, reason: str
    ) -> list[UUID]:
        """Cancel those that have not ended; running ones are asked to stop."""
        results = await self._scheduler.cancel(conn, ids, who, redact_text(reason))
        return [each for each in ids if results.get(each) in ("cancelled", "cancelling")]

    async def retry(self, conn: AsyncConnection, ids: Sequence[UUID], who: str) -> list[UUID]:
        """Give failed, dead and cancelled ones another life, but those that a dependency which did
        not succeed, and is not retried with them, would cancel again at once."""
        chosen = await store.retriable(conn, ids)
        return await self._scheduler.retry(conn, chosen, who) if chosen else []

    async def reprioritise(
        self,
        conn: AsyncConnection,
        project_id: UUID,
        ids: Sequence[UUID],
        priority: int,
        who: str,
    ) -> list[UUID]:
        """Give those that have not ended another priority; a running one has it from its next
        attempt on."""
        changed = await self._scheduler.reprioritise(conn, ids, priority)
        data = {"fields": ["priority"]}
        told = [NewEvent("task.updated", each, project_id, who, data) for each in changed]
        await events.append(conn, told)
        self._scheduler.feed_after(conn)
        return changed

    async def delete(
        self, conn: AsyncConnection, project_id: UUID, ids: Sequence[UUID], who: str
    ) -> store.Deleted:
        """Remove the records of those that have ended and on which no open task depends. Their logs
        and files are left to the caller."""
        deleted = await store.delete(conn, await store.deletable(conn, ids))
        told = [NewEvent("task.deleted", each, project_id, who) for each in deleted.ids]
        await events.append(conn, told)
        self._scheduler.feed_after(conn)
        return deleted
