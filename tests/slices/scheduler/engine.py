"""A scheduler on a real database with small helpers to tell stories in tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from podium.events.live import Wakeups
from podium.kernel.ids import uuid7
from podium.scheduler import store
from podium.scheduler.gates import Gate
from podium.scheduler.model import (
    CallKey,
    Claimed,
    Demand,
    DependencyPolicy,
    Edge,
    Need,
    NewTask,
    Settlement,
    SubmitCall,
    WorkerIdentity,
)
from podium.scheduler.service import Scheduler
from podium.storage.database import Database
from podium.storage.valkey import Valkey


@dataclass
class Engine:
    """One project with one agent; more can be added."""

    database: Database
    scheduler: Scheduler
    project: UUID = field(default_factory=uuid7)
    agents: dict[str, UUID] = field(default_factory=dict)

    @classmethod
    async def create(cls, database: Database, gates: Sequence[Gate] = ()) -> "Engine":
        valkey = Valkey("unix:///nowhere.sock")
        valkey.available = False
        engine = cls(database, Scheduler(database, Wakeups(valkey), gates=gates))
        await engine.add_project(engine.project, "p0")
        await engine.add_agent("echo")
        return engine

    async def add_project(self, project: UUID, name: str, weight: float = 1) -> UUID:
        await self.run(
            "insert into project (id, name, weight) values (:id, :name, :weight)",
            id=project,
            name=name,
            weight=weight,
        )
        return project

    async def add_agent(
        self,
        name: str,
        *,
        project: UUID | None = None,
        capabilities: Sequence[str] = (),
        limit: int | None = None,
    ) -> UUID:
        agent = self.agents[name] = uuid7()
        await self.run(
            "insert into agent (id, project_id, name, runtime, capabilities, max_concurrency)"
            " values (:id, :project, :name, 'function', :capabilities, :cap)",
            id=agent,
            project=project or self.project,
            name=name,
            capabilities=list(capabilities),
            cap=limit,
        )
        return agent

    async def run(self, statement: str, **values: Any) -> Any:
        async with self.database.transaction() as conn:
            result = await conn.execute(text(statement), values)
            return result.all() if result.returns_rows else result.rowcount

    async def task(
        self,
        *,
        agent: str | None = "echo",
        capabilities: tuple[str, ...] = (),
        project: UUID | None = None,
        queue: str = "default",
        given: object = None,
        priority: int = 0,
        after: Sequence[UUID] = (),
        on_failure: DependencyPolicy = "cancel",
        start_at: datetime | None = None,
        queue_timeout: float | None = None,
        needs: Mapping[str, int] | None = None,
    ) -> NewTask:
        home = project or self.project
        agent_id = self.agents[agent] if agent and not capabilities else None
        lane = await self.scheduler.lane(Demand(home, queue, agent_id, capabilities))
        spec: dict[str, Any] = {"on_dependency_failure": on_failure}
        if needs:
            spec["needs"] = [{"gate": gate, "units": units} for gate, units in needs.items()]
        return NewTask(
            id=uuid7(),
            project_id=home,
            lane_id=lane,
            queue=queue,
            title="t",
            input=orjson.dumps(given).decode(),
            spec=orjson.dumps(spec).decode(),
            created_by="test",
            priority=priority,
            start_at=start_at,
            queue_timeout=queue_timeout,
            dependencies=tuple(Edge(one, str(one)) for one in after),
            on_dependency_failure=on_failure,
            needs=tuple(Need(gate, units) for gate, units in (needs or {}).items()),
        )

    async def submit(self, **options: Any) -> UUID:
        task = await self.task(**options)
        await self.scheduler.submit(SubmitCall([task]))
        return task.id

    async def submit_keyed(self, key: str, request: bytes, **options: Any) -> UUID:
        task = await self.task(**options)
        call = SubmitCall([task], CallKey(task.project_id, key, request))
        return (await self.scheduler.submit(call))[0]

    async def worker(
        self, *, lease: float = 60, concurrency: int = 10, queues: Sequence[str] = ()
    ) -> UUID:
        who = WorkerIdentity(
            uuid7(), "w", "host", 1, "0", concurrency, tuple(queues), ("function", "command"), None
        )
        async with self.database.transaction() as conn:
            await store.register(conn, who, lease)
        return who.id

    async def claim(self, worker: UUID, most: int = 10) -> list[Claimed]:
        return await self.scheduler.claim(worker, most)

    async def claim_ids(self, worker: UUID, most: int = 10) -> list[UUID]:
        return [one.task_id for one in await self.claim(worker, most)]

    async def settle(self, worker: UUID, claimed: Claimed, how: Any, **extra: Any) -> bool:
        end = Settlement(claimed.task_id, claimed.attempt, how, **extra)
        return claimed.task_id in await self.scheduler.settle(worker, [end])

    async def succeed(self, worker: UUID, *claimed: Claimed) -> None:
        await self.scheduler.settle(
            worker,
            [Settlement(one.task_id, one.attempt, "succeeded", output="1") for one in claimed],
        )

    async def cancel(self, *ids: UUID) -> dict[UUID, str]:
        async with self.database.transaction() as conn:
            return await self.scheduler.cancel(conn, ids, "tester", "not wanted")

    async def retry(self, *ids: UUID) -> list[UUID]:
        async with self.database.transaction() as conn:
            return await self.scheduler.retry(conn, ids, "tester")

    async def state(self, task: UUID) -> str:
        """Where the task is: its outcome, or the one hot table that holds it."""
        outcome = (await self.run("select outcome from task where id = :id", id=task))[0][0]
        found = [
            name
            for name in ("ready", "running", "timer", "blocked", "wait")
            if await self.run(f"select 1 from {name} where task_id = :id", id=task)
        ]
        if outcome:
            assert not found, f"ended task {task} is still in {found}"
            return outcome
        assert len(found) == 1, f"task {task} is in {found}"
        return found[0]

    async def events(self, task: UUID) -> list[str]:
        rows = await self.run(
            "select type from event where subject = :id order by xid, id", id=task
        )
        return [row[0] for row in rows]
