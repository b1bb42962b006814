"""A worker in this process, on a real database and Valkey, with function agents."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

import worker_agents
from podium.agents.runtime import AgentSpec
from podium.agents.runtimes import built_in
from podium.agents.service import AgentService
from podium.events.live import Wakeups
from podium.scheduler.keeper import Keeper
from podium.scheduler.model import SubmitCall
from podium.scheduler.service import Scheduler
from podium.storage.artifact_directory import DirectoryStore
from podium.storage.database import Database
from podium.storage.valkey import Valkey
from podium.worker import faults
from podium.worker.executor import Surroundings
from podium.worker.kept import ArtifactLimits
from podium.worker.loop import Worker, WorkerOptions
from slices.scheduler.engine import Engine


@pytest.fixture
def noted_faults(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many rounds of each loop of the worker's failed so far."""
    noted, note = Counter[str](), faults.note

    def counted(loop: str, error: BaseException) -> None:
        noted[loop] += 1
        note(loop, error)

    monkeypatch.setattr(faults, "note", counted)
    return noted


@dataclass
class Shop:
    """One project whose agents are the functions of ``worker_agents``."""

    engine: Engine
    around: Surroundings
    wakeups: Wakeups

    async def submit(self, agent: str, given: Any = None, **options: Any) -> UUID:
        """Submit a task; ``spec`` are further fields of its specification."""
        extra = options.pop("spec", {})
        if agent not in self.engine.agents:
            await self.engine.add_agent(agent)
        task = await self.engine.task(agent=agent, given=given, **options)
        spec = orjson.loads(task.spec) | extra | {"depends": bool(task.dependencies)}
        changed = task._replace(spec=orjson.dumps(spec).decode())
        await self.engine.scheduler.submit(SubmitCall([changed]))
        return task.id

    async def ended(self, task: UUID, seconds: float = 30) -> Any:
        """The row of the task once it has ended."""
        async with asyncio.timeout(seconds):
            while True:
                rows = await self.engine.run("select * from task where id = :id", id=task)
                if rows[0].outcome:
                    return rows[0]
                await asyncio.sleep(0.01)

    async def until(self, look: Callable[[], Awaitable[Any]], seconds: float = 30) -> Any:
        """The first true answer of ``look``."""
        async with asyncio.timeout(seconds):
            while not (found := await look()):
                await asyncio.sleep(0.01)
            return found

    async def kept(self, task: UUID, name: str) -> bytes:
        """The content of a file that the first attempt kept."""
        [row] = [row for row in await self.rows("artifact", task) if row.name == name]
        async with aclosing(await self.around.artifacts.open(task, 1, name, row.size)) as content:
            return b"".join([piece async for piece in content])

    async def rows(self, table: str, task: UUID) -> Any:
        order = {"log": "id", "attempt": "attempt"}.get(table, "task_id")
        return await self.engine.run(
            f"select * from {table} where task_id = :id order by {order}", id=task
        )

    @asynccontextmanager
    async def worker(
        self,
        *,
        concurrency: int = 10,
        processes: int = 1000,
        lease: float = 6,
        drain: float = 5,
        queues: tuple[str, ...] = (),
        hurry: asyncio.Event | None = None,
    ) -> AsyncGenerator[asyncio.Event]:
        """Runs a worker; the event that it gives makes it stop."""
        stop = asyncio.Event()
        options = WorkerOptions("w", concurrency, processes, queues, lease, drain)
        worker = Worker(self.engine.scheduler, self.wakeups, self.around, options)
        running = asyncio.create_task(worker.run(stop, hurry or asyncio.Event()))
        try:
            yield stop
        finally:
            stop.set()
            async with asyncio.timeout(30):
                await running


@pytest.fixture
async def shop(database: Database, valkey: Valkey, tmp_path: Path) -> AsyncIterator[Shop]:
    worker_agents.calls.clear()
    engine = await Engine.create(database)
    wakeups = Wakeups(valkey)
    engine.scheduler = Scheduler(database, wakeups)
    runtimes = built_in(data_dir=tmp_path, confinement="none", allowed_modules=["worker_agents"])

    async def spec(agent_id: UUID, version: int) -> AgentSpec:
        name = next(name for name, each in engine.agents.items() if each == agent_id)
        config = {"function": f"worker_agents:{name}", "isolation": "inline"}
        return AgentSpec(name, version, "function", config)

    agents = AgentService(database, runtimes)

    async def project_name(_id: UUID) -> str:
        return "p0"

    around = Surroundings(
        database=database,
        runtimes=runtimes,
        artifacts=DirectoryStore(tmp_path / "artifacts"),
        artifact_limits=ArtifactLimits(count=4, size=5000, total=8000),
        agent_spec=spec,
        found_isolated=agents.found_isolated,
        project_name=project_name,
        workspaces=tmp_path / "workspaces",
        server_url="http://127.0.0.1:1",
        max_output_bytes=1000,
    )
    keeper = Keeper(database, wakeups, engine.project, lease_seconds=1, max_losses=3)
    keeper.start()
    yield Shop(engine, around, wakeups)
    await keeper.close()
    await wakeups.close()
