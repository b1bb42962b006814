"""Deletes ended tasks that a project keeps no longer: by their age, and by their number."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from podium.kernel.errors import Unavailable
from podium.kernel.ids import least_uuid7
from podium.projects import store as projects
from podium.projects.model import Project
from podium.storage.database import Database
from podium.tasks import store
from podium.tasks.bulk import TaskBulk
from podium.tasks.service import TaskService

_log = structlog.get_logger(__name__)

SECONDS = 600.0
"""How often it looks."""
_AT_ONCE = 500
_WHO = "system"
_BEGINNING = UUID(int=0)
_CLOCKS_DIFFER = timedelta(days=1)


class Retention:
    """Deletes in transactions of 500 tasks. Several may do so at once."""

    def __init__(self, database: Database, tasks: TaskService, bulk: TaskBulk) -> None:
        self._database = database
        self._tasks = tasks
        self._bulk = bulk

    async def forget(self) -> None:
        """Delete what all projects keep no longer. A task on which an open one depends stays until
        that one has ended."""
        async with self._database.connect() as conn:
            found = await projects.keeping_less(conn)
        for project in found:
            try:
                await self._forget(project)
            except Unavailable as error:  # the next time, and the others now
                _log.warning("retention.postponed", project=project.name, error=error.message)

    async def _forget(self, project: Project) -> None:
        if project.keep_tasks is not None:
            async with self._database.connect() as conn:
                last = await store.ended_after(conn, project.id, project.keep_tasks)
            if last is not None:
                await self._delete(project.id, last, None)
        if project.keep_days is not None:
            moment = datetime.now(UTC) - timedelta(days=project.keep_days)
            await self._delete(project.id, least_uuid7(moment + _CLOCKS_DIFFER), moment)

    async def _delete(self, project_id: UUID, last: UUID, before: datetime | None) -> None:
        """Delete ended tasks up to an id, and that ended before a moment, oldest first."""
        after: UUID | None = _BEGINNING
        while after is not None:
            async with self._database.connect() as conn:
                ids = await store.ended(conn, project_id, after, last, before, _AT_ONCE)
            async with self._database.transaction() as conn:
                deleted = await self._bulk.delete(conn, project_id, ids, _WHO)
            await self._tasks.delete_kept(deleted)
            after = ids[-1] if len(ids) == _AT_ONCE else None
