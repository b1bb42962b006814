"""A scheduler on a real database with small helpers to tell stories in tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

import statements
from podium.events.live import Wakeups
from podium.kernel.ids import uuid7
from podium.scheduler import store, upkeep
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

    @classmethod
    async def join(cls, other: "Engine") -> "Engine":
        """Another process on the same database: its own batches and connections."""
        valkey = Valkey("unix:///nowhere.sock")
        valkey.available = False
        scheduler = Scheduler(other.database, Wakeups(valkey))
        return cls(other.database, scheduler, other.project, other.agents)

    async def add_project(
        self, project: UUID, name: str, weight: float = 1, ageing: float | None = None
    ) -> UUID:
        await self.run(
            "insert into project (id, name, weight, ageing_seconds)"
            " values (:id, :name, :weight, :ageing)",
            ageing=ageing,
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
        weight: float = 1,
        runtime: str = "function",
    ) -> UUID:
        agent = self.agents[name] = uuid7()
        await self.run(
            "insert into agent (id, project_id, name, runtime, capabilities, max_concurrency,"
            " weight) values (:id, :project, :name, :runtime, :capabilities, :cap, :weight)",
            weight=weight,
            id=agent,
            project=project or self.project,
            name=name,
            runtime=runtime,
            capabilities=list(capabilities),
            cap=limit,
        )
        await self.follow(f"follow_agent('{agent}')")
        return agent

    async def follow(self, call: str, *before: str) -> None:
        """Change agents or queues as their slices do, and have lanes follow by ``call``."""
        async with self.database.transaction() as conn:
            for statement in ("select lock_gates()", *before, f"select {call}"):
                await conn.execute(text(statement))

    async def switch(self, agent: str, change: str) -> None:
        """Change an agent, such as ``enabled = false``."""
        key = self.agents[agent]
        await self.follow(f"follow_agent('{key}')", f"update agent set {change} where id = '{key}'")

    async def run(self, statement: str, **values: Any) -> Any:
        return await statements.run(self.database, statement, **values)

    async def task(
        self,
        *,
        agent: str | None = "echo",
        capabilities: tuple[str, ...] = (),
        project: UUID | None = None,
        queue: str = "default",
        title: str = "t",
        given: object = None,
        priority: int = 0,
        after: Sequence[UUID] = (),
        on_failure: DependencyPolicy = "cancel",
        start_at: datetime | None = None,
        queue_timeout: float | None = None,
        deadline: datetime | None = None,
        needs: Mapping[str, int] | None = None,
        limits: Sequence[str] = (),
        prefers: str | None = None,
    ) -> NewTask:
        demand = self._demand(project, queue, agent, capabilities)
        if prefers:
            demand = replace(demand, prefers=self.agents[prefers])
        spec = {"on_dependency_failure": on_failure}
        spec |= {"deadline": deadline.isoformat()} if deadline else {}
        return NewTask(
            id=uuid7(),
            project_id=demand.project_id,
            lane_id=await self.scheduler.lane(demand),
            queue=queue,
            title=title,
            input=orjson.dumps(given).decode(),
            spec=orjson.dumps(spec).decode(),
            created_by="test",
            priority=priority,
            start_at=start_at,
            queue_timeout=queue_timeout,
            deadline=deadline,
            dependencies=tuple(Edge(one, str(one)) for one in after),
            on_dependency_failure=on_failure,
            limits=tuple(limits),
            needs=tuple(Need(gate, units) for gate, units in (needs or {}).items()),
        )

    def _demand(
        self, project: UUID | None, queue: str, agent: str | None, capabilities: tuple[str, ...]
    ) -> Demand:
        named = self.agents[agent] if agent and not capabilities else None
        return Demand(project or self.project, queue, named, capabilities)

    async def submit(self, **options: Any) -> UUID:
        task = await self.task(**options)
        await self.scheduler.submit(SubmitCall([task]))
        return task.id

    async def submit_many(self, count: int, **options: Any) -> list[UUID]:
        """The same task several times, accepted in one call."""
        tasks = [await self.task(**options) for _ in range(count)]
        return (await self.scheduler.submit(SubmitCall(tasks))).ids

    async def submit_keyed(self, key: str, request: bytes, **options: Any) -> UUID:
        task = await self.task(**options)
        call = SubmitCall([task], CallKey(task.project_id, key, request))
        return (await self.scheduler.submit(call)).ids[0]

    async def worker(
        self,
        *,
        lease: float = 60,
        concurrency: int = 10,
        processes: int = 10,
        queues: Sequence[str] = (),
    ) -> UUID:
        who = WorkerIdentity(
            id=uuid7(),
            name="w",
            host="host",
            pid=1,
            version="0",
            concurrency=concurrency,
            processes=processes,
            queues=tuple(queues),
            runtimes=("function", "command"),
            confinement=None,
        )
        async with self.database.transaction() as conn:
            await store.register(conn, who, lease)
        return who.id

    async def claim(
        self, worker: UUID, most: int = 10, processes: int | None = None
    ) -> list[Claimed]:
        """Without a number, all of them may be processes."""
        limit = most if processes is None else processes
        return (await self.scheduler.claim(worker, most, limit))[0]

    async def claim_ids(self, worker: UUID, most: int = 10) -> list[UUID]:
        return [one.task_id for one in await self.claim(worker, most)]

    def end(self, claimed: Claimed, how: Any, **extra: Any) -> Settlement:
        return Settlement(claimed.task_id, claimed.attempt, how, **extra)

    async def settle(self, worker: UUID, claimed: Claimed, how: Any, **extra: Any) -> bool:
        ended = await self.scheduler.settle(worker, [self.end(claimed, how, **extra)])
        return claimed.task_id in ended

    async def run_one(self, worker: UUID, how: Any = "succeeded", **extra: Any) -> UUID:
        """Claim the next task and end its attempt."""
        [claimed] = await self.claim(worker, 1)
        assert await self.settle(worker, claimed, how, **extra)
        return claimed.task_id

    async def run_all(self, worker: UUID) -> int:
        """Run to success until nothing can be claimed; gives how many there were."""
        count = 0
        while claimed := await self.claim(worker, 200):
            await self.succeed(worker, *claimed)
            count += len(claimed)
        return count

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

    async def set_gates(self, **capacities: int) -> None:
        async with self.database.transaction() as conn:
            await self.scheduler.set_capacity(conn, capacities)

    async def signal(self, *keys: str) -> None:
        async with self.database.transaction() as conn:
            await self.scheduler.signal(conn, keys)

    async def gate(self, key: str) -> tuple[int, int, int]:
        """(capacity, used, waiting) of a gate; zeros when it is not on record."""
        async with self.database.connect() as conn:
            return (await store.gates(conn, [key])).get(key, (0, 0, 0))

    async def fire(self) -> int:
        """Let the time come for all timers."""
        await self.run("update timer set fires_at = now() - interval '1 second'")
        return await upkeep.fire_timers(self.database, 1000)

    async def expire(self) -> int:
        """Let all queue timeouts run out."""
        await self.run("update expiry set expires_at = now() - interval '1 second'")
        return await upkeep.expire_tasks(self.database, 1000)

    async def let_lease_run_out(self, *workers: UUID) -> None:
        await self.run(
            "update worker set lease_until = now() - interval '1 second' where id = any (:ids)",
            ids=list(workers),
        )

    async def reap(self, max_losses: int = 3) -> dict[UUID, int]:
        """Take back the tasks of workers without lease; gives how many each had."""
        seen = (await self.run("select clock_timestamp()"))[0][0]
        return dict(await upkeep.reap(self.database, max_losses, seen, 60))

    async def die(self, *workers: UUID, max_losses: int = 3) -> None:
        """These workers stop renewing and are declared dead."""
        await self.let_lease_run_out(*workers)
        assert set(await self.reap(max_losses)) == set(workers)

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

    async def states(self, *tasks: UUID) -> list[str]:
        return [await self.state(task) for task in tasks]

    async def error(self, task: UUID) -> dict[str, Any]:
        return (await self.run("select error from task where id = :id", id=task))[0][0]

    async def attempts(self, task: UUID) -> list[tuple[int, str]]:
        """Number and outcome of the ended attempts."""
        rows = await self.run(
            "select attempt, outcome from attempt where task_id = :id order by attempt", id=task
        )
        return [(row.attempt, row.outcome) for row in rows]

    async def events(self, task: UUID) -> list[str]:
        rows = await self.run(
            "select type from event where subject = :id order by xid, id", id=task
        )
        return [row[0] for row in rows]
