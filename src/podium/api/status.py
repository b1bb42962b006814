"""``status`` and ``workers``: how the installation is."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field
from sqlalchemy import text

from podium import __version__
from podium.api.counts import TaskCounts
from podium.events.live import Feed
from podium.kernel.settings import Settings
from podium.kernel.web import api_router, provided
from podium.principals.http import require
from podium.principals.model import Principal
from podium.scheduler import overview
from podium.schedules.service import ScheduleService
from podium.storage.artifact_stores import StoreCheck
from podium.storage.database import Database
from podium.storage.valkey import Valkey

router = api_router("", "server")

_Reader = Annotated[Principal, Depends(require("workers:read"))]
_Database = Annotated[Database, Depends(provided(Database))]


class DatabaseStatus(BaseModel):
    """The PostgreSQL server."""

    ok: bool
    version: str | None
    embedded: bool


class ValkeyStatus(BaseModel):
    """The Valkey server. Without it Podium is slower, never wrong."""

    ok: bool
    embedded: bool


class ArtifactStatus(BaseModel):
    """Where files of attempts are kept. Without it attempts that keep some fail, and others run."""

    ok: bool
    place: str = Field(description="Its URL, without secrets.")
    problem: str | None = Field(description="Why it cannot be used.")
    hint: str | None = Field(description="What to do about it.")


class Worker(BaseModel):
    """One incarnation of a worker process."""

    id: UUID
    name: str
    host: str
    pid: int
    version: str
    state: str = Field(description="active, draining, stopped or dead")
    concurrency: int = Field(description="Attempts that it runs at once, at most.")
    running: int = Field(description="Attempts that it runs now.")
    processes: int = Field(
        description="Attempts that it runs at once in processes of their own, at most."
    )
    running_processes: int = Field(
        description="Attempts that it runs now in processes of their own."
    )
    queues: list[str] = Field(description="Queues that it serves; empty means all.")
    runtimes: list[str]
    confinement: str | None = Field(description="How it keeps agents from Podium's own files.")
    started_at: datetime
    lease_until: datetime
    blocked_by: Mapping[str, Any] | None = Field(
        description="The attempt that keeps it from everything else: task_id, attempt, and at what."
    )


class WorkerList(BaseModel):
    """Workers that serve, and those that ended within the hour, newest first."""

    items: list[Worker]


class Status(BaseModel):
    """How the installation is."""

    version: str
    uptime_seconds: float
    database: DatabaseStatus
    valkey: ValkeyStatus
    artifacts: ArtifactStatus
    workers: list[Worker]
    counts: Mapping[str, int] = Field(
        description="Tasks by state. Those that ended are counted every 10 seconds."
    )
    sessions: int = Field(description="Those of the running tasks that are sessions.")
    schedules: int = Field(description="Schedules that are to fire again.")
    confinement: str | None = Field(
        description="How the newest worker keeps agents from Podium's own files."
    )
    feed_lag_seconds: float = Field(
        description="For how long the newest events could not be read; 0 while all is read."
    )


class Started:
    """When this process began to serve."""

    def __init__(self) -> None:
        self.at = time.monotonic()


@router.get("/workers", summary="List workers")
async def list_workers(_reader: _Reader, database: _Database) -> WorkerList:
    async with database.connect() as conn:
        found = await overview.workers(conn)
    return WorkerList(items=[_view(worker) for worker in found])


@router.get("/status", summary="Tell how the installation is")
async def get_status(
    _reader: _Reader,
    database: _Database,
    valkey: Annotated[Valkey, Depends(provided(Valkey))],
    settings: Annotated[Settings, Depends(provided(Settings))],
    feed: Annotated[Feed, Depends(provided(Feed))],
    started: Annotated[Started, Depends(provided(Started))],
    counts: Annotated[TaskCounts, Depends(provided(TaskCounts))],
    schedules: Annotated[ScheduleService, Depends(provided(ScheduleService))],
    artifacts: Annotated[StoreCheck, Depends(provided(StoreCheck))],
) -> Status:
    async with database.connect() as conn:
        workers = [_view(worker) for worker in await overview.workers(conn)]
        version = (await conn.execute(text("show server_version"))).scalar_one()
        sessions = await overview.running_sessions(conn)
    serving = [worker for worker in workers if worker.state in ("active", "draining")]
    return Status(
        version=__version__,
        uptime_seconds=round(time.monotonic() - started.at, 3),
        database=DatabaseStatus(ok=True, version=version, embedded=settings.embedded_postgres),
        valkey=ValkeyStatus(ok=valkey.available, embedded=settings.embedded_valkey),
        artifacts=await _artifacts(artifacts),
        workers=serving,
        counts=await counts.all(),
        sessions=sessions,
        schedules=await schedules.count_active(),
        confinement=serving[0].confinement if serving else None,
        feed_lag_seconds=round(feed.lag, 3),
    )


async def _artifacts(check: StoreCheck) -> ArtifactStatus:
    trouble = await check.trouble()
    return ArtifactStatus(
        ok=trouble is None,
        place=check.store.shown,
        problem=trouble.message if trouble else None,
        hint=trouble.hint if trouble else None,
    )


def _view(worker: overview.Worker) -> Worker:
    return Worker.model_validate(worker, from_attributes=True)
