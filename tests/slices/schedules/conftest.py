"""A desk at which schedules are made and fired by hand, without the clock of a running server."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import pytest

import statements
from podium import app as composition
from podium.app import Core
from podium.kernel.ids import uuid7
from podium.kernel.settings import Settings
from podium.principals.model import Principal
from podium.schedules.clock import ScheduleClock
from podium.schedules.model import Schedule
from podium.schedules.service import ScheduleService
from podium.schedules.views import ScheduledTask
from podium.storage.database import Database
from podium.tasks.service import TaskService

ADMIN = Principal("admin", uuid7(), "admin:local", None, frozenset({"admin"}))


@dataclass
class Desk:
    """Schedules of the project ``default`` with the agent ``a``, which no worker serves."""

    core: Core
    tasks: TaskService
    project: UUID

    @property
    def database(self) -> Database:
        return self.core.database

    @cached_property
    def clock(self) -> ScheduleClock:
        return self.another_clock()

    def another_clock(self) -> ScheduleClock:
        """The clock of another server on the same database."""
        return ScheduleClock(self.database, self.core.scheduler, self.tasks)

    @property
    def schedules(self) -> ScheduleService:
        core = self.core
        return ScheduleService(core.database, core.scheduler, self.tasks, core.wakeups)

    async def make(self, name: str = "s", agent: str = "a", **given: Any) -> Schedule:
        """A schedule that fires each hour, unless ``given`` says something else."""
        if "cron" not in given and "every" not in given:
            given["every"] = 3600.0
        task = ScheduledTask.model_validate(given.pop("task", {"agent": agent, "input": 1}))
        work = await self.schedules.work(ADMIN, self.project, task)
        async with self.database.transaction() as conn:
            return await self.schedules.create(conn, ADMIN, self.project, name, given, work)

    async def change(self, name: str, **given: Any) -> Schedule:
        async with self.database.transaction() as conn:
            return await self.schedules.change(conn, ADMIN, self.project, name, given, None)

    async def get(self, name: str = "s") -> Schedule:
        async with self.database.connect() as conn:
            return await self.schedules.get(conn, self.project, name)

    async def let_pass(self, seconds: float, name: str = "s") -> datetime:
        """As if the schedule's next time were so long ago; gives that time."""
        shift = timedelta(seconds=seconds)
        rows = await self.run(
            "update schedule s set next_at = p.at, fires_at = p.at, anchor = p.at"
            " from (select clock_timestamp() - cast(:shift as interval) as at) p"
            " where name = :name returning next_at",
            shift=shift,
            name=name,
        )
        return rows[0][0]

    async def ring(self) -> None:
        """Let the clock do all that is due."""
        while await self.clock.ring() == 0.0:
            pass

    async def fired(self, name: str = "s") -> list[tuple[str, str | None]]:
        """Outcome and state of the task of each firing, the earliest time first."""
        rows = await self.run(
            "select f.outcome, coalesce(t.outcome, case when exists (select from ready r"
            " where r.task_id = t.id) then 'ready' when t.id is not null then 'held' end)"
            " from firing f join schedule s on s.id = f.schedule_id"
            " left join task t on t.id = f.task_id where s.name = :name order by f.at, f.id",
            name=name,
        )
        return [(row[0], row[1]) for row in rows]

    async def events(self) -> list[tuple[str, Mapping[str, Any]]]:
        rows = await self.run(
            "select type, data from event where type like 'schedule.%' order by epoch, xid, id"
        )
        return [(row[0], row[1]) for row in rows]

    async def run(self, statement: str, **values: Any) -> Any:
        return await statements.run(self.database, statement, **values)


@pytest.fixture
async def desk(prepared: Settings) -> AsyncIterator[Desk]:
    core = composition.build_core(prepared)
    tasks = TaskService(
        core.database, core.scheduler, core.agents, core.artifacts, max_payload_bytes=100_000
    )
    made = Desk(core, tasks, (await core.projects.resolve("default")).id)
    await made.run(
        "insert into agent (id, project_id, name, runtime) values"
        " (gen_random_uuid(), :project, 'a', 'command')",
        project=made.project,
    )
    yield made
    await core.close()
