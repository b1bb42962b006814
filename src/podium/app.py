"""The composition root: builds everything once and fills the ports.

What only one kind of process needs is imported by the function that it calls: workers start
without the API's libraries, and only who upgrades the schema loads Alembic.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from podium.agents import recovery
from podium.agents.runtime import RuntimeSet
from podium.agents.runtimes import built_in
from podium.agents.service import AgentService
from podium.events import retention
from podium.events.live import Feed, Wakeups
from podium.kernel.addresses import agents_url
from podium.kernel.ids import uuid7
from podium.kernel.settings import Settings
from podium.principals.service import PrincipalService, ensure_admin_token
from podium.projects.service import ProjectService, ensure_default
from podium.scheduler import store as scheduling
from podium.scheduler.keeper import Chore, Keeper
from podium.scheduler.service import Scheduler
from podium.storage import partitions
from podium.storage.artifacts import ArtifactStore, DirectoryStore
from podium.storage.database import Database
from podium.storage.embedded.paths import Layout
from podium.storage.valkey import Valkey
from podium.tasks.service import TaskService
from podium.worker.executor import Surroundings
from podium.worker.fence import Fence
from podium.worker.kept import ArtifactLimits
from podium.worker.loop import Worker, WorkerOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

SQL_SLICES = ("podium.events", "podium.scheduler")
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Core:
    """What the API and the workers both stand on."""

    settings: Settings
    database: Database
    valkey: Valkey
    wakeups: Wakeups
    scheduler: Scheduler
    artifacts: ArtifactStore
    runtimes: RuntimeSet
    agents: AgentService
    projects: ProjectService
    keeper: Keeper

    async def close(self) -> None:
        """End in the order that lets each part finish what others gave it."""
        await self.keeper.close()
        await self.scheduler.close()
        await self.wakeups.close()
        for runtime in self.runtimes.by_name.values():
            await runtime.aclose()
        await self.valkey.close()
        await self.database.close()


def build_core(settings: Settings) -> Core:
    """Everything but the doors. Connects when first used."""
    database = Database(_url(settings, "database_url"), pool_size=settings.database_pool_size)
    valkey = Valkey(_url(settings, "valkey_url"))
    wakeups = Wakeups(valkey)
    runtimes = built_in(
        data_dir=settings.data_dir,
        confinement=settings.confinement,
        allowed_modules=settings.function_modules,
        hidden=[Layout(settings.data_dir).sockets],
    )
    scheduler = Scheduler(database, wakeups, idempotency_hours=settings.idempotency_hours)
    agents = AgentService(database, runtimes)
    return Core(
        settings=settings,
        database=database,
        valkey=valkey,
        wakeups=wakeups,
        scheduler=scheduler,
        artifacts=DirectoryStore(settings.data_dir / "artifacts"),
        runtimes=runtimes,
        agents=agents,
        projects=ProjectService(database),
        keeper=Keeper(
            database,
            wakeups,
            uuid7(),
            lease_seconds=settings.lease_seconds,
            max_losses=settings.max_losses,
            chores=_chores(settings, database, agents, scheduler),
        ),
    )


def _url(settings: Settings, name: str) -> str:
    secret = settings.database_url if name == "database_url" else settings.valkey_url
    if secret is None:
        raise RuntimeError(f"{name} must be set in a process that podium up did not start")
    return secret.get_secret_value()


def _chores(
    settings: Settings, database: Database, agents: AgentService, scheduler: Scheduler
) -> list[Chore]:
    async def keep_partitions() -> None:
        async with database.transaction() as conn:
            await retention.forget(conn, settings.event_retention_days)
            await partitions.maintain(conn, "log", settings.log_retention_days)

    async def forget_calls() -> None:
        await scheduling.forget_calls(database)

    probe_unhealthy = partial(recovery.probe_unhealthy, database, agents, scheduler)
    return [
        Chore("partitions", _HOUR, keep_partitions),
        Chore("idempotency", _HOUR, forget_calls),
        Chore("health", recovery.SECONDS, probe_unhealthy),
    ]


async def prepare(settings: Settings) -> None:
    """Bring the database up to date. Idempotent, and safe when several processes do it at once."""
    from podium.storage.migrate import migrate

    database = Database(_url(settings, "database_url"), pool_size=2, patience=None)
    try:
        await migrate(database, SQL_SLICES)
        async with database.transaction() as conn:
            await ensure_default(conn)
            await ensure_admin_token(settings.data_dir, conn)
            await retention.forget(conn, settings.event_retention_days)
            await partitions.maintain(conn, "log", settings.log_retention_days)
    finally:
        await database.close()


def create_api(settings: Settings) -> "FastAPI":
    """The API as an ASGI application; its lifespan starts and ends what it needs."""
    from podium.api import assembly

    core = build_core(settings)
    feed = Feed(core.database, core.valkey, kept=settings.stream_buffer)
    tasks = TaskService(
        core.database,
        core.scheduler,
        core.agents,
        core.artifacts,
        max_payload_bytes=settings.max_payload_bytes,
    )
    services: Mapping[type, object] = {
        Settings: settings,
        Database: core.database,
        Valkey: core.valkey,
        Wakeups: core.wakeups,
        Feed: feed,
        Scheduler: core.scheduler,
        RuntimeSet: core.runtimes,
        ArtifactStore: core.artifacts,
        ProjectService: core.projects,
        PrincipalService: PrincipalService(core.database),
        AgentService: core.agents,
        TaskService: tasks,
    }

    @asynccontextmanager
    async def lifespan(_app: "FastAPI") -> AsyncGenerator[None]:
        await feed.open()
        core.keeper.start()
        try:
            yield
        finally:
            await feed.close()
            await core.close()

    return assembly.build(services, settings, lifespan)


async def idle_for(app: "FastAPI") -> float:
    """Seconds since the last request, or 0 while a task is open."""
    services = cast("Mapping[type, object]", app.state.services)
    tasks = cast("TaskService", services[TaskService])
    if await tasks.any_open():
        return 0.0
    return time.monotonic() - cast("float", app.state.last_request)


async def run_worker(settings: Settings, stop: asyncio.Event, hurry: asyncio.Event) -> int:
    """Serve as a worker until ``stop`` is set; ``hurry`` hands back at once what still runs. Gives
    how many tasks were handed back because it stopped.

    This process ends when a step of an agent in it outlasts the worker's lease.
    """
    core = build_core(settings)
    around = Surroundings(
        database=core.database,
        runtimes=core.runtimes,
        artifacts=core.artifacts,
        artifact_limits=ArtifactLimits(
            settings.max_artifacts, settings.max_artifact_bytes, settings.max_artifacts_total_bytes
        ),
        agent_spec=core.agents.spec,
        found_isolated=core.agents.found_isolated,
        project_name=core.projects.name,
        workspaces=settings.data_dir / "workspaces",
        server_url=agents_url(settings),
        max_output_bytes=settings.max_payload_bytes,
    )
    options = WorkerOptions(
        name=settings.worker_name,
        concurrency=settings.worker_concurrency,
        processes=settings.worker_processes or max(16, 4 * (os.cpu_count() or 1)),
        queues=tuple(settings.worker_queues),
        lease_seconds=settings.lease_seconds,
        drain_seconds=settings.drain_seconds,
        fence=Fence(),
    )
    core.keeper.start()
    try:
        return await Worker(core.scheduler, core.wakeups, around, options).run(stop, hurry)
    finally:
        await core.close()
