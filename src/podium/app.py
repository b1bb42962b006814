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

from prometheus_client import disable_created_metrics

from podium.agents import recovery
from podium.agents import store as agent_store
from podium.agents.runtime import RuntimeSet
from podium.agents.runtimes import built_in
from podium.agents.service import AgentService
from podium.applied.service import AppliedService
from podium.diagnosis.service import DiagnosisService
from podium.events import retention
from podium.events.live import Feed, Wakeups
from podium.filters.service import FilterService
from podium.kernel import background, exporting
from podium.kernel.addresses import agents_url
from podium.kernel.exporting import Exporting
from podium.kernel.ids import uuid7
from podium.kernel.settings import Settings
from podium.limits.gate import LimitGate
from podium.limits.service import LimitService
from podium.principals.service import PrincipalService, ensure_admin_token
from podium.projects.service import ProjectService, ensure_default
from podium.queues.service import QueueService
from podium.scheduler import upkeep
from podium.scheduler.election import Role
from podium.scheduler.keeper import Alarm, Chore, Keeper
from podium.scheduler.service import Scheduler
from podium.schedules import store as schedule_store
from podium.schedules.clock import CHANNEL as SCHEDULES_CHANNEL
from podium.schedules.clock import ScheduleClock
from podium.schedules.service import ScheduleService
from podium.sessions.service import SessionService
from podium.storage import partitions
from podium.storage.artifact_stores import StoreCheck, artifact_store
from podium.storage.artifacts import ArtifactStore
from podium.storage.database import Database
from podium.storage.embedded.paths import Layout
from podium.storage.valkey import Valkey
from podium.tasks.bulk import TaskBulk
from podium.tasks.finding import TaskFinder
from podium.tasks.indexing import CHANNEL as SEARCH_CHANNEL
from podium.tasks.indexing import Indexer
from podium.tasks.retention import SECONDS as RETENTION_SECONDS
from podium.tasks.retention import Retention
from podium.tasks.service import TaskService
from podium.tasks.sweep import SECONDS as SWEEP_SECONDS
from podium.tasks.sweep import Sweep
from podium.templates.service import TemplateService
from podium.worker import measures
from podium.worker.executor import Surroundings
from podium.worker.fence import Fence
from podium.worker.kept import ArtifactLimits
from podium.worker.loop import Worker, WorkerOptions

if TYPE_CHECKING:
    from fastapi import FastAPI

    from podium.kernel.tracing import Tracing

SQL_SLICES = ("podium.events", "podium.scheduler", "podium.tasks", "podium.sessions")
_HOUR = 3600.0
_STICKY_DAYS = 30
"""For so long a key that no task had keeps its agent."""
_WORKER_CONNECTIONS = 3
"""Enough for one that is busy. Fifty workers are to get along with one PostgreSQL."""


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
    exporting: Exporting | None

    @property
    def tracing(self) -> "Tracing | None":
        """What makes spans, where they are sent somewhere."""
        return self.exporting.tracing if self.exporting else None

    async def close(self) -> None:
        """End in the order that lets each part finish what others gave it."""
        await self.keeper.close()
        await self.scheduler.close()
        await self.wakeups.close()
        for runtime in self.runtimes.by_name.values():
            await runtime.aclose()
        await self.valkey.close()
        await self.database.close()
        if self.exporting:
            await self.exporting.close()


def build_core(settings: Settings, process: str = "api", connections: int | None = None) -> Core:
    """Everything but the doors, for the process of this name. Connects when first used, and keeps
    so many connections to PostgreSQL, or all that it makes, while they are not used."""
    disable_created_metrics()  # of each series when it began, which nobody asks for
    database = Database(
        _url(settings, "database_url"),
        pool_size=settings.database_pool_size,
        kept=connections,
        slow_seconds=settings.slow_query_seconds,
    )
    valkey = Valkey(_url(settings, "valkey_url"))
    wakeups = Wakeups(valkey)
    runtimes = built_in(
        data_dir=settings.data_dir,
        confinement=settings.confinement,
        allowed_modules=settings.function_modules,
        hidden=[Layout(settings.data_dir).sockets],
    )
    scheduler = Scheduler(
        database,
        wakeups,
        gates=[LimitGate()],
        idempotency_hours=settings.idempotency_hours,
    )
    agents = AgentService(database, runtimes)
    return Core(
        settings=settings,
        database=database,
        valkey=valkey,
        wakeups=wakeups,
        scheduler=scheduler,
        artifacts=artifact_store(settings),
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
        exporting=exporting.start(settings, process),
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
        await upkeep.forget_calls(database)

    async def forget_firings() -> None:
        await schedule_store.forget_firings(database, settings.event_retention_days)

    async def forget_limits() -> None:
        await upkeep.forget_limits(database)

    async def forget_keys() -> None:
        await agent_store.forget_keys(database, _STICKY_DAYS)

    probe_again = partial(recovery.probe_again, database, agents, scheduler)
    return [
        Chore("partitions", _HOUR, keep_partitions),
        Chore("idempotency", _HOUR, forget_calls),
        Chore("limits", _HOUR, forget_limits),
        Chore("firings", _HOUR, forget_firings),
        Chore("sticky", _HOUR, forget_keys),
        Chore("health", recovery.SECONDS, probe_again, None),  # programs differ between machines
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
    from podium.api.gauges import Gauges

    core = build_core(settings)
    feed = Feed(core.database, core.valkey, kept=settings.stream_buffer)
    tasks = TaskService(
        core.database,
        core.scheduler,
        core.agents,
        core.artifacts,
        max_payload_bytes=settings.max_payload_bytes,
        tracing=core.tracing,
    )
    bulk = TaskBulk(core.scheduler)
    _keep_as_server(core, tasks, bulk)
    check = StoreCheck(core.artifacts)
    services = {
        **_services(core, feed, tasks),
        Settings: settings,
        TaskBulk: bulk,
        StoreCheck: check,
    }

    @asynccontextmanager
    async def lifespan(app: "FastAPI") -> AsyncGenerator[None]:
        await feed.open()
        core.keeper.start()
        if core.exporting:
            gauges = cast("Gauges", app.state.services[Gauges])
            core.exporting.measure([gauges.registry], gauges.refresh)
        telling = asyncio.create_task(check.tell())
        try:
            yield
        finally:
            await background.end(telling)
            await feed.close()
            await core.close()

    return assembly.build(services, settings, lifespan, core.tracing)


def _services(core: Core, feed: Feed, tasks: TaskService) -> dict[type, object]:
    """What the routes ask for, by its type."""
    return {
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
        QueueService: QueueService(core.scheduler),
        LimitService: LimitService(core.scheduler),
        TaskService: tasks,
        TaskFinder: TaskFinder(core.database),
        FilterService: FilterService(),
        SessionService: SessionService(
            core.agents,
            tasks,
            core.scheduler,
            core.wakeups,
            max_payload_bytes=core.settings.max_payload_bytes,
        ),
        AppliedService: AppliedService(),
        TemplateService: TemplateService(core.database, tasks),
        DiagnosisService: DiagnosisService(
            core.database, core.valkey, feed, core.settings.data_dir
        ),
        ScheduleService: ScheduleService(core.database, core.scheduler, tasks, core.wakeups),
    }


def _keep_as_server(core: Core, tasks: TaskService, bulk: TaskBulk) -> None:
    """Add what one of the API processes does by itself: workers do not accept tasks."""
    forget = Retention(core.database, tasks, bulk).forget
    sweep = Sweep(core.database, core.artifacts).sweep
    core.keeper.chores += [
        Chore("tasks", RETENTION_SECONDS, forget, Role.SERVER),
        Chore("artifacts", SWEEP_SECONDS, sweep, Role.SERVER),
    ]
    clock = ScheduleClock(core.database, core.scheduler, tasks)
    indexer = Indexer(core.database)
    core.keeper.alarms += [
        Alarm("schedules", SCHEDULES_CHANNEL, clock.ring, Role.SERVER),
        Alarm("search", SEARCH_CHANNEL, indexer.ring, Role.SERVER),
    ]


async def idle_for(app: "FastAPI") -> float:
    """Seconds since the last request, or 0 while a task is open or a schedule is to fire."""
    services = cast("Mapping[type, object]", app.state.services)
    tasks = cast("TaskService", services[TaskService])
    schedules = cast("ScheduleService", services[ScheduleService])
    if await tasks.any_open() or await schedules.count_active():
        return 0.0
    return time.monotonic() - cast("float", app.state.last_request)


async def run_worker(settings: Settings, stop: asyncio.Event, hurry: asyncio.Event) -> int:
    """Serve as a worker until ``stop`` is set; ``hurry`` hands back at once what still runs. Gives
    how many tasks were handed back because it stopped.

    This process ends when a step of an agent in it outlasts the worker's lease.
    """
    core = build_core(settings, settings.worker_name, _WORKER_CONNECTIONS)
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
        tracing=core.tracing,
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
    if core.exporting:
        core.exporting.measure()
    telling = asyncio.create_task(StoreCheck(core.artifacts).tell())
    try:
        with measures.shown(settings.host, settings.worker_metrics_port):
            return await Worker(core.scheduler, core.wakeups, around, options).run(stop, hurry)
    finally:
        await background.end(telling)
        await core.close()
