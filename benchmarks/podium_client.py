"""Podium's side of the race.

* **Worker** is the one that ``podium worker`` starts, with its default settings.
* **Work** is a function agent whose function is async, so it runs inside the worker.
* **Submission** is ``TaskService``, which the HTTP API calls too, in this process, as the peers'
  libraries are called in theirs: ``create_many`` with 500 tasks a call, 4 calls at once, and
  ``create`` for one. The figures over HTTP are benchmarks of their own.
* **Chain** and **fan-out** are tasks that depend on tasks, submitted by one ``create_many``.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import structlog

from benchmarks.driver import serve
from podium.agents.model import Definition
from podium.app import Core, build_core, prepare
from podium.kernel.settings import load_settings
from podium.principals.model import Principal
from podium.principals.service import ADMIN_TOKEN_FILE, PrincipalService
from podium.projects.model import DEFAULT
from podium.tasks.model import TaskInBulk, TaskNew
from podium.tasks.service import TaskService

BATCH = 500
CALLS = 4
WHO = "benchmark"
FUNCTIONS = ("noop", "stamped", "parked", "held", "busy", "talking")
MODULE = "benchmarks.functions"


@asynccontextmanager
async def prepared() -> AsyncGenerator[tuple[Core, Principal]]:
    """A database with the schema and the agents, and who may change it."""
    settings = load_settings()
    await prepare(settings)
    core = build_core(settings)
    try:
        text = await asyncio.to_thread((settings.data_dir / ADMIN_TOKEN_FILE).read_text)
        admin = await PrincipalService(core.database).authenticate(text.strip())
        project = await core.projects.resolve(DEFAULT)
        async with core.database.transaction() as conn:
            for name in FUNCTIONS:
                await core.agents.register(conn, admin, project.id, function(name))
        yield core, admin
    finally:
        await core.close()


def function(name: str, most: int | None = None) -> Definition:
    """The agent of a function of the benchmarks, which runs at most so many attempts at once."""
    config = {"function": f"{MODULE}:{name}"}
    return Definition(name, "function", config, max_concurrency=most)


async def set_up() -> None:
    """Create the schema and the agents."""
    async with prepared():
        pass


class PodiumSubmitter:
    """Submits through ``TaskService``."""

    _core: Core
    _tasks: TaskService
    _project: UUID

    async def open(self) -> None:
        """Connect."""
        # Answers go to standard output, so what is logged must not.
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        settings = load_settings()
        core = build_core(settings)
        self._core = core
        self._tasks = TaskService(
            core.database,
            core.scheduler,
            core.agents,
            core.artifacts,
            max_payload_bytes=settings.max_payload_bytes,
        )
        self._project = (await core.projects.resolve(DEFAULT)).id

    async def _submit(self, requests: Sequence[TaskInBulk]) -> None:
        await self._tasks.create_many(self._project, WHO, requests, None)

    async def submit_noops(self, number: int) -> None:
        """Bulk calls, some at once."""
        starts = iter(range(0, number, BATCH))

        async def caller() -> None:
            for start in starts:
                await self._submit_part(range(start, min(number, start + BATCH)))

        await asyncio.gather(*(caller() for _ in range(CALLS)))

    async def _submit_part(self, places: range) -> None:
        await self._submit([TaskInBulk(agent="noop", input=place) for place in places])

    async def submit_stamp(self, key: str) -> None:
        """One task."""
        request = TaskNew(agent="stamped", input=key)
        await self._tasks.create(self._project, DEFAULT, WHO, request, None)

    async def submit_chain(self, key: str, length: int) -> None:
        """Each depends on the one before."""
        steps = [
            TaskInBulk(agent="noop", ref=f"s{place}", depends_on=[f"s{place - 1}"][:place])
            for place in range(length - 1)
        ]
        last = TaskInBulk(agent="stamped", input=key, depends_on=[f"s{length - 2}"])
        await self._submit([*steps, last])

    async def submit_fan_out(self, key: str, width: int) -> None:
        """One, many that depend on it, one that depends on them all."""
        refs = [f"t{place}" for place in range(width)]
        middle = [TaskInBulk(agent="noop", ref=ref, depends_on=["root"]) for ref in refs]
        join = TaskInBulk(agent="stamped", input=key, depends_on=refs)
        await self._submit([TaskInBulk(agent="noop", ref="root"), *middle, join])

    async def unfinished(self) -> bool:
        """Whether some task has not ended."""
        return await self._tasks.any_open()

    async def finished(self) -> int:
        """Tasks that succeeded."""
        query = "select count(*) as succeeded from task where outcome = 'succeeded'"
        return (await self._core.database.call(query))[0]["succeeded"]


if __name__ == "__main__":
    if sys.argv[1] == "set-up":
        asyncio.run(set_up())
    else:
        serve(PodiumSubmitter())
