"""``overview``: what goes on, in one answer that costs the same however many tasks there are."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from podium import __version__
from podium.api.status import Worker
from podium.events.live import Feed
from podium.kernel.fields import Line
from podium.kernel.web import api_router, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.projects.http import ProjectName, Projects, project_for
from podium.scheduler import overview
from podium.scheduler.model import Rate, TaskState, rate_of
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from podium.tasks import glance, store, views
from podium.tasks.model import TaskProgress

router = api_router("", "server")

_Reader = Annotated[Principal, Depends(require("tasks:read", "queues:read"))]
_QUEUES = 100


class QueueAtGlance(BaseModel):
    """A queue that tasks came to, or that has rules."""

    project: str
    name: str
    state: str
    queued: int = Field(description=f"Tasks that are ready; counted up to {glance.MOST_COUNTED}.")
    running: int
    concurrency: int | None
    rate: Rate | None


class TaskAtGlance(BaseModel):
    """A task that runs, or that came last."""

    id: UUID
    project: str
    title: str
    state: TaskState
    queue: str
    agent: str | None = Field(
        description="The agent that runs it; while none does, the one that was asked for by name."
    )
    worker: UUID | None = Field(description="The worker that runs it.")
    priority: int
    attempt: int
    progress: TaskProgress | None
    error_code: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Overview(BaseModel):
    """What goes on."""

    version: str
    at: datetime
    project: str | None = Field(description="Whose tasks it is about; null: those of all.")
    valkey_ok: bool
    feed_lag_seconds: float
    counts: Mapping[str, int] = Field(
        description=f"Tasks that have not ended by state; counted up to {glance.MOST_COUNTED}."
    )
    queues: list[QueueAtGlance] = Field(description="The busiest first, a hundred at most.")
    workers: list[Worker] | None = Field(
        description="Those that serve; null for a token that may not see them."
    )
    running: list[TaskAtGlance] = Field(description="Those first that have run for longest.")
    newest: list[TaskAtGlance]


@router.get("/overview", summary="Tell what goes on")
async def get_overview(
    reader: _Reader,
    projects: Projects,
    database: Annotated[Database, Depends(provided(Database))],
    valkey: Annotated[Valkey, Depends(provided(Valkey))],
    feed: Annotated[Feed, Depends(provided(Feed))],
    project: ProjectName = None,
    queue: Annotated[Line | None, Query(max_length=100, description="Only this queue.")] = None,
    most: Annotated[int, Query(ge=1, le=100, description="Tasks in each of the lists.")] = 50,
) -> Overview:
    """Without `project`, of all projects that the token reaches."""
    reader.demand_all()
    everywhere = project is None and reader.project_id is None
    named = None if everywhere else await project_for(reader, projects, project)
    of = glance.Scope(named.id if named else None, queue)
    async with database.connect() as conn:
        lanes = await glance.lanes(conn, of)
        counts = await glance.counts(conn, lanes)
        queues = await glance.queues(conn, of, lanes, _QUEUES)
        rows = [await glance.now_running(conn, lanes, most)]
        rows.append(await glance.newest(conn, of, lanes, most))
        paces = await store.paces(conn, [row for some in rows for row in some])
        sees = reader.has("workers:read")
        workers = await overview.workers(conn) if sees else None
    running, newest = ([_task(row, paces) for row in some] for some in rows)
    return Overview(
        version=__version__,
        at=datetime.now(UTC),
        project=named.name if named else None,
        valkey_ok=valkey.available,
        feed_lag_seconds=round(feed.lag, 3),
        counts=counts,
        queues=[_queue(row) for row in queues],
        workers=None if workers is None else _serving(workers),
        running=running,
        newest=newest,
    )


def _serving(workers: list[overview.Worker]) -> list[Worker]:
    serve = [each for each in workers if each.state in ("active", "draining")]
    return [Worker.model_validate(each, from_attributes=True) for each in serve]


def _queue(row: Any) -> QueueAtGlance:
    return QueueAtGlance(
        project=row["project"],
        name=row["name"],
        state=row["state"],
        queued=row["queued"],
        running=row["running"],
        concurrency=row["concurrency"],
        rate=rate_of(row),
    )


def _task(row: Any, paces: views.Paces) -> TaskAtGlance:
    summary = views.summary(row, row.project, paces)
    return TaskAtGlance.model_construct(
        **{name: getattr(summary, name) for name in _SHARED},
        agent=row.runner or row.agent,
        worker=row.worker_id,
    )


_SHARED = TaskAtGlance.model_fields.keys() - {"agent", "worker"}
